"""Blemish finds, locates and names defects in product images.

    from blemish import Dataset, Inspector, train

    model = train(Dataset.from_folder("images/"))
    model.save("line.blemish")
    for inspection in Inspector.load("line.blemish").inspect_many(["new/1.png", "new/2.png"]):
        print(inspection.score, inspection.defective, inspection.regions)

The five public names are imported when they are first used, so that `import blemish` stays quick.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from blemish.data.dataset import Dataset
    from blemish.evaluation.evaluate import evaluate
    from blemish.inspection import Inspection
    from blemish.inspector import Inspector
    from blemish.training.train import train

__version__ = "0.1.0"
__all__ = ["Dataset", "Inspection", "Inspector", "evaluate", "train"]

_HOMES = {
    "Dataset": "blemish.data.dataset",
    "Inspection": "blemish.inspection",
    "Inspector": "blemish.inspector",
    "evaluate": "blemish.evaluation.evaluate",
    "train": "blemish.training.train",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'blemish' has no attribute '{name}'")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
