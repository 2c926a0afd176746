"""Transplants need scipy; where it is not installed their tests cannot even be imported."""

from __future__ import annotations

from importlib.util import find_spec

collect_ignore = [] if find_spec("scipy") else ["test_transplant.py", "test_transplant_mode.py"]
