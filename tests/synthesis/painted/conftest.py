"""The shape library and the painter need scipy; where it is not installed these tests cannot even be imported."""

from __future__ import annotations

from importlib.util import find_spec

collect_ignore_glob = [] if find_spec("scipy") else ["test_*.py"]
