"""The tiny models of the trainings' tests."""

from __future__ import annotations

from importlib.util import find_spec

if find_spec("torch"):
    from ..training.conftest import tiny_dataset, tiny_examples, tiny_folder, tiny_model, tiny_taught  # noqa: F401
