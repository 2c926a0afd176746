"""Labelled defects in whatever format they come."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from blemish.data.defects.coco import is_coco, read_coco
from blemish.data.defects.draft import Draft
from blemish.data.defects.example import DefectExample, NormalExample
from blemish.data.defects.fields import Document, read_document
from blemish.data.defects.folders import read_folders
from blemish.data.defects.labelme import is_labelme, read_labelme
from blemish.data.defects.places import files_below, held_out
from blemish.data.defects.sets import read_set
from blemish.data.defects.tables import read_table
from blemish.data.defects.yolo import read_yolo
from blemish.data.problem import Problem
from blemish.errors import DataError


@dataclass(frozen=True)
class DefectSet:
    """Labelled defects.

    Attributes:
        examples: images with marked defects, sorted by path; each could be opened, at least one.
        problems: what was left out or looked wrong.
        format: name of the format in which they lay.
        normals: images of which the annotations say that they show no defect, sorted by path.
    """

    examples: tuple[DefectExample, ...]
    problems: tuple[Problem, ...]
    format: str
    normals: tuple[NormalExample, ...] = ()

    @property
    def categories(self) -> tuple[str, ...]:
        """Names of all defects, sorted, each once."""
        return tuple(sorted({name for example in self.examples for name in example.categories}))


class Format(NamedTuple):
    """One way in which labelled defects lie on disk.

    Attributes:
        name: of the format.
        shape: what it looks like.
        read: fills a draft from a file or folder, or answers False to what is another format.
    """

    name: str
    shape: str
    read: Callable[[Path, Draft], bool]


def read_defects(root: str | Path, *, product: str | None = None) -> DefectSet:
    """Read labelled defects; the first format of `FORMATS` that answers is taken.

    What cannot be used (a bad row, a polygon outside its image, an image that does not open) is named in `problems`,
    and the rest is read. Test and validation parts that a format knows are left out.

    Args:
        root: a folder, a COCO or LabelMe JSON file, a YOLO `data.yaml`, or a manifest.
        product: what all images show, whatever folders and files say.

    Raises:
        DataError: nothing is there, no format is recognised, or nothing of it can be used.
    """
    root = Path(os.path.abspath(root))
    if not root.exists():
        raise DataError(f"There is no file or folder {root}.", "Check the path.")
    for form in FORMATS:
        draft = Draft(product)
        if not form.read(root, draft):
            continue
        examples = draft.examples()
        if not examples:
            raise _unusable(root, form, draft)
        return DefectSet(examples, draft.problems, form.name, draft.normals())
    raise DataError(f"{root} holds no labelled defects that Blemish knows: {_contents(root)}.", _remedy())


def read_json(root: Path, draft: Draft, name: str) -> bool:
    """COCO or LabelMe files at or below `root`, as `name` says; False where there are none.

    Files or folders named test, val or valid are left out, unless `root` is the file.
    """
    files = [root] if root.is_file() else files_below(root, {".json"})
    documents = [read_document(file) for file in files if file.suffix.lower() == ".json"]
    known, read = (is_coco, read_coco) if name == "COCO JSON" else (is_labelme, read_labelme)
    chosen = [document for document in documents if known(document.data)]
    if not chosen:
        return False
    taken, skipped = _without_held_out(chosen, root)
    read(taken, draft)
    if skipped:
        what = f"{len(skipped)} files for validation or testing were left out, such as {skipped[0].file}."
        draft.problem(skipped[0].file, what, severity="info")
    for document in documents:
        if document.error is not None:
            draft.problem(document.file, document.error.message, document.error.remedy)
        elif document not in chosen:
            draft.problem(document.file, f"{document.file} is no {name} file and was left out.", severity="info")
    return True


def _without_held_out(documents: Sequence[Document], root: Path) -> tuple[list[Document], list[Document]]:
    taken: list[Document] = []
    skipped: list[Document] = []
    for document in documents:
        out = root.is_dir() and held_out(document.file, root, by_name=is_coco(document.data))
        (skipped if out else taken).append(document)
    return taken, skipped


def _read_coco(root: Path, draft: Draft) -> bool:
    return read_json(root, draft, "COCO JSON")


def _read_labelme(root: Path, draft: Draft) -> bool:
    return read_json(root, draft, "LabelMe")


FORMATS = (
    Format("COCO JSON", "a .json file with images, annotations and categories", _read_coco),
    Format("LabelMe", "one .json file with shapes per image", _read_labelme),
    Format("manifest", "manifest.csv or manifest.jsonl (path, label, box, mask, product, split, …)", read_table),
    Format("YOLO", "one .txt file per image, and data.yaml or classes.txt", read_yolo),
    Format(
        "data set", "train/<category>/ with ground_truth/<category>/, bad/<category>/, MT_<Category>/Imgs/", read_set
    ),
    Format("folders", "<category>/ or <product>/<category>/ with images, and masks where there are any", read_folders),
)


def _unusable(root: Path, form: Format, draft: Draft) -> DataError:
    problems = sorted(draft.problems, key=lambda problem: problem.severity == "info")
    more = f" ({len(problems) - 1} more)" if len(problems) > 1 else ""
    first = f": {problems[0].message}{more}" if problems else "."
    remedy = next((problem.remedy for problem in problems if problem.remedy), "") or _remedy()
    return DataError(f"{root} was read as {form.name}, but holds no labelled defect that can be used{first}", remedy)


def _contents(root: Path) -> str:
    if root.is_file():
        return f"it is a file that ends in '{root.suffix}'"
    names = sorted(entry.name + "/" * entry.is_dir() for entry in os.scandir(root))
    if not names:
        return "it is empty"
    more = ", …" if len(names) > 6 else ""
    return f"it holds {', '.join(names[:6])}{more}"


def _remedy() -> str:
    return f"Known formats: {'; '.join(f'{form.name}: {form.shape}' for form in FORMATS)}."
