"""Transplants need scipy, pseudo-anomalies on a device torch; where these lack, the tests cannot even be imported."""

from __future__ import annotations

from importlib.util import find_spec

_TRANSPLANTS = ["test_transplant.py", "test_transplant_mode.py"]
collect_ignore = [
    *([] if find_spec("scipy") else _TRANSPLANTS),
    *([] if find_spec("torch") else ["test_on_device.py"]),
]
