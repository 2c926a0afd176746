"""Labelled defects: from which images and places a model learns categories."""

from __future__ import annotations

from blemish.data.defects.example import DefectExample, Marking

__all__ = ["DefectExample", "Marking"]
