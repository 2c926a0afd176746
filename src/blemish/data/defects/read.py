"""Labelled defects in whatever format they come."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

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


@dataclass(frozen=True)
class Source:
    """Where defects are looked for.

    Attributes:
        root: a file or folder.
        documents: all JSON files at or below it, read once for all formats that come as JSON.
    """

    root: Path

    @cached_property
    def documents(self) -> tuple[Document, ...]:
        files = [self.root] if self.root.is_file() else files_below(self.root, {".json"})
        return tuple(read_document(file) for file in files if file.suffix.lower() == ".json")


class Format(NamedTuple):
    """One way in which labelled defects lie on disk: what it looks like, and a reader.

    The reader fills a draft and answers True, or answers False to what is another format.
    """

    name: str
    shape: str
    read: Callable[[Source, Draft], bool]


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
    source = Source(root)
    for form in FORMATS:
        draft = Draft(product)
        if not form.read(source, draft):
            continue
        examples = draft.examples()
        if not examples:
            raise _unusable(root, form, draft)
        return DefectSet(examples, draft.problems, form.name, draft.normals())
    raise DataError(f"{root} holds no labelled defects that Blemish knows: {_contents(root)}.", _remedy())


def _read_json(
    source: Source, draft: Draft, known: Callable[[Any], bool], read: Callable[[Iterable[Document], Draft], None]
) -> bool:
    """The JSON files of one format; those for validation or testing are left out unless the root is the file."""
    chosen = [document for document in source.documents if known(document.data)]
    if not chosen:
        return False
    split = [(document, source.root.is_dir() and _held_out(document, source.root)) for document in chosen]
    read([document for document, out in split if not out], draft)
    if skipped := [document.file for document, out in split if out]:
        what = f"{len(skipped)} JSON files for validation or testing were left out, such as {skipped[0]}."
        draft.problem(skipped[0], what, severity="info")
    for document in source.documents:
        if document.error is not None:
            draft.problem(document.file, document.error.message, document.error.remedy)
        elif not known(document.data):
            draft.problem(document.file, f"{document.file} is of another format and was left out.", severity="info")
    return True


def _held_out(document: Document, root: Path) -> bool:
    return held_out(document.file, root, by_name=is_coco(document.data))


def _read_table(source: Source, draft: Draft) -> bool:
    of_json = source.root.is_file() and any(is_coco(one.data) or is_labelme(one.data) for one in source.documents)
    return not of_json and read_table(source.root, draft)


FORMATS = (
    Format("manifest", "manifest.csv or manifest.jsonl (path, label, box, mask, product, split, …)", _read_table),
    Format(
        "COCO JSON",
        "a .json file with images, annotations and categories",
        lambda source, draft: _read_json(source, draft, is_coco, read_coco),
    ),
    Format(
        "LabelMe",
        "one .json file with shapes per image",
        lambda source, draft: _read_json(source, draft, is_labelme, read_labelme),
    ),
    Format(
        "YOLO",
        "one .txt file per image, and data.yaml or classes.txt",
        lambda source, draft: read_yolo(source.root, draft),
    ),
    Format(
        "data set",
        "train/<category>/ with ground_truth/<category>/, bad/<category>/, or MT_<Category>/Imgs/",
        lambda source, draft: read_set(source.root, draft),
    ),
    Format(
        "folders",
        "<category>/ or <product>/<category>/ with images, and masks where there are any",
        lambda source, draft: read_folders(source.root, draft),
    ),
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
