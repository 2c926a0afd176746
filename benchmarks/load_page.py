"""The page docs/results/service.md from docs/results/service.jsonl; `python benchmarks/load.py --page` calls it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from blemish.files import replaced

_PAGE = """# The service under load

Written by `python benchmarks/load.py --page` from [service.jsonl](service.jsonl).

Clients, service and model share the cores. *Beside plain inspection* is the rate of answered images over that of one
process which inspects the same images in batches and keeps nothing, measured before and after in the same run. *auto*
is PyTorch where the model was not exported.

{loads}
Killed with `kill -9` at random moments while all clients post: what had been answered is looked up at the end, with its
image, anomaly map and mask.

{kills}"""
_LOAD = {
    "engine": "engine",
    "clients": "clients",
    "seconds": "seconds",
    "answers": "statuses",
    "images/s": "images_per_second",
    "p50, s": "p50",
    "p95, s": "p95",
    "beside plain inspection": "ratio",
    "cores": "cores",
    "commit": "commit",
    "command": "command",
}
_KILL = {
    "engine": "engine",
    "clients": "clients",
    "kills": "kills",
    "answered": "answered",
    "lost": "lost",
    "half files": "half_files",
    "cores": "cores",
    "commit": "commit",
    "command": "command",
}


def write_page(lines: Path, page: Path) -> None:
    """The newest row of each kind and engine as tables."""
    rows = [json.loads(line) for line in lines.read_text(encoding="utf-8").splitlines()]
    newest = {(row["what"], row["engine"]): row for row in rows}
    loads = [row for (what, _), row in newest.items() if what == "load"]
    kills = [row for (what, _), row in newest.items() if what == "kill"]
    text = _PAGE.format(loads=_table(_LOAD, loads), kills=_table(_KILL, kills))
    with replaced(page) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")


def _table(columns: dict[str, str], rows: Sequence[dict[str, Any]]) -> str:
    lines = [f"| {' | '.join(columns)} |", f"|{'---|' * len(columns)}"]
    lines += [f"| {' | '.join(_cell(row[name]) for name in columns.values())} |" for row in rows]
    return "\n".join(lines) + "\n"


def _cell(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name}: {count:,}" for name, count in sorted(value.items()))
    return (
        f"`{value}`"
        if isinstance(value, str) and " " in value
        else f"{value:,}"
        if isinstance(value, int)
        else str(value)
    )
