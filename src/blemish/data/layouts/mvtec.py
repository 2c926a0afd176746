"""MVTec AD and BTAD: `train/good`, `test/<category>`, `ground_truth/<category>/<stem>_mask.png`."""

from __future__ import annotations

from pathlib import Path

from blemish.data.files import folders_in, images_in
from blemish.data.layouts.listing import NORMAL_NAMES, Listing, MaskFolder, ignored_folders, product_name
from blemish.data.problem import Problem
from blemish.data.sample import Sample, Split


def read_mvtec(root: Path) -> Listing | None:
    """One product in MVTec AD's layout, or None.

    A folder `train/<category>` holds labelled defects for few-shot learning. Every folder whose name does not mean
    "normal" is a defect category of that name. BTAD's products look the same with `ok` and `ko`.
    """
    folders = {folder.name.lower(): folder for folder in folders_in(root)}
    if "train" not in folders and "test" not in folders:
        return None
    # test first: where one mask fits an image in both, evaluation needs it more
    parts: dict[Split, list[Path]] = {
        split: folders_in(folders[split]) for split in ("test", "train") if split in folders
    }
    names = {folder.name.lower() for part in parts.values() for folder in part}
    if not names & NORMAL_NAMES and "ground_truth" not in folders:
        return None

    truth = folders.get("ground_truth", root / "ground_truth")
    masks: dict[str, MaskFolder] = {}
    if truth.is_dir():
        masks = {f.name.lower(): MaskFolder(f) for f in folders_in(truth) if f.name.lower() not in NORMAL_NAMES}
    samples: list[Sample] = []
    problems: list[Problem] = []
    for split, part in parts.items():
        for folder in part:
            samples += _category(folder, split, product_name(root), masks.get(folder.name.lower()))
        if loose := images_in(folders[split]):
            problems.append(
                Problem(
                    folders[split],
                    "warning",
                    f"{len(loose)} images lie directly in {folders[split]} and were left out.",
                    f"Move normal images to {folders[split] / 'good'} and defective ones to a folder per category.",
                )
            )
    for place in masks.values():
        problems += place.problems + place.orphans()
    problems += ignored_folders(
        (folder for name, folder in folders.items() if name not in ("train", "test", "ground_truth")),
        "it is none of train, test and ground_truth",
    )
    layout = "BTAD" if "ok" in names else "MVTec AD"
    return Listing(root, layout, tuple(sorted(samples, key=lambda s: s.path)), has_split=True, problems=tuple(problems))


def _category(folder: Path, split: Split, product: str, masks: MaskFolder | None) -> list[Sample]:
    if folder.name.lower() in NORMAL_NAMES:
        return [Sample(path, product, split, "normal") for path in images_in(folder)]
    return [
        Sample(path, product, split, "defective", folder.name, masks.find(path) if masks else None)
        for path in images_in(folder)
    ]
