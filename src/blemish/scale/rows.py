"""What a table of inspections holds: one row per image, of plain columns, and the whole result as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from blemish.inspection import Failure, Inspection

# name → what it holds, in the order of the columns; a column is null where there is nothing to say
COLUMNS = {
    "source": "the image as it was named",
    "error": "why it could not be inspected",
    "product": "what it shows",
    "defective": "the verdict",
    "score": "of the image",
    "p_value": "of the score",
    "category": "of the defect",
    "regions": "how many defect regions there are",
    "width": "of the image in pixels",
    "height": "of the image in pixels",
    "inspection": "the whole result, as a line of inspections.jsonl",
}


def table_of(results: Iterable[Inspection | Failure]) -> dict[str, list[Any]]:
    """Columns of some results."""
    rows = [_row(result) for result in results]
    return {name: [row.get(name) for row in rows] for name in COLUMNS}


def _row(result: Inspection | Failure) -> dict[str, Any]:
    if isinstance(result, Failure):
        return {"source": result.source, "error": f"{result.error.message} {result.error.remedy}".strip()}
    return {
        "source": result.source,
        "product": result.product,
        "defective": result.defective,
        "score": result.score,
        "p_value": result.p_value,
        "category": result.category,
        "regions": len(result.regions),
        "width": result.size[0],
        "height": result.size[1],
        "inspection": json.dumps(result.to_dict()),
    }
