"""Labelled defects: from which images and places a model learns categories."""

from __future__ import annotations

from blemish.data.defects.example import DefectExample, Marking, NormalExample
from blemish.data.defects.raster import rasterise
from blemish.data.defects.read import DefectSet, read_defects
from blemish.data.defects.runs import Runs

__all__ = ["DefectExample", "DefectSet", "Marking", "NormalExample", "Runs", "rasterise", "read_defects"]
