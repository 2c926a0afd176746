"""Parts of queries: an inspection beside the review that counts, and conditions."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa

from blemish.serving.records import Filter
from blemish.serving.tables import inspections, reviews


def with_review() -> sa.Select[Any]:
    """Inspections beside the review that counts: the newest one that was not taken back."""
    newest = (
        sa.select(sa.func.max(reviews.c.id))
        .where(reviews.c.inspection == inspections.c.id, reviews.c.undone.is_(None))
        .correlate(inspections)
        .scalar_subquery()
    )
    of_review = [column.label(f"review_{column.name}") for column in reviews.c]
    return sa.select(inspections, *of_review).select_from(inspections.outerjoin(reviews, reviews.c.id == newest))


def number_of(*conditions: sa.ColumnElement[bool]) -> sa.ColumnElement[int]:
    return sa.func.sum(sa.case((sa.and_(*conditions), 1), else_=0))


def conditions(only: Filter) -> Iterator[sa.ColumnElement[bool]]:
    for column in (inspections.c.product, inspections.c.defective, inspections.c.category, inspections.c.model):
        value = getattr(only, column.name)
        if value is not None:
            yield column == value
    if only.decision is not None:
        yield reviews.c.decision == only.decision
    if only.named is not None:
        yield reviews.c.category == only.named
    if only.reviewed is not None:
        yield reviews.c.id.is_not(None) if only.reviewed else reviews.c.id.is_(None)
