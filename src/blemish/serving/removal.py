"""What the store forgets: old inspections, what is too much, files that nothing names."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from blemish.serving.blobs import Blobs
from blemish.serving.database import Database
from blemish.serving.queries import with_review
from blemish.serving.tables import images, inspections, reviews

_AT_ONCE = 500  # rows that are removed in one transaction
_DIGESTS = (inspections.c.image, inspections.c.anomaly_map, inspections.c.mask, reviews.c.mask)


class Removal:
    """Removes rows and the files that only they have named. Nothing that was answered and still counts is among them.

    Args:
        database: the rows.
        blobs: the files.
    """

    def __init__(self, database: Database, blobs: Blobs) -> None:
        self._database, self._blobs = database, blobs

    def remove(self, *, older_than: int | None = None, most_bytes: int | None = None) -> int:
        """Forget inspections, with their reviews and files; returns how many.

        Args:
            older_than: those that nobody has reviewed and that were made before this time.
            most_bytes: the oldest ones until all files have no more; reviewed ones go last.
        """
        removed = 0
        if older_than is not None:
            old = with_review().where(reviews.c.id.is_(None), inspections.c.created < older_than).limit(_AT_ONCE)
            while gone := self._remove(old):
                removed += gone
        if most_bytes is not None:
            oldest = with_review().order_by(reviews.c.id.is_not(None), inspections.c.id).limit(_AT_ONCE // 10)
            while self._blobs.size > most_bytes and (gone := self._remove(oldest)):
                removed += gone
        return removed

    def remove_orphans(self, older_than: int) -> int:
        """Delete files that no row names and that were written before a time; returns how many.

        A crash has left them. What is younger may be about to be named.
        """
        found = [digest for digest, _ in self._blobs if self._blobs.written(digest) < older_than]
        return sum(self._remove_unnamed(found[at : at + _AT_ONCE]) for at in range(0, len(found), _AT_ONCE))

    def _remove(self, query: sa.Select[Any]) -> int:
        """Forget what a query finds, and the files that only this has named."""
        with self._database.writing() as connection:
            self._database.hold_files(connection, alone=True)  # nobody reviews one of them meanwhile
            ids = [row.id for row in connection.execute(query)]
            gone = reviews.c.inspection.in_(ids), inspections.c.id.in_(ids)
            digests: set[str | None] = set()
            for column in _DIGESTS:
                digests.update(connection.scalars(sa.select(column).where(gone[column.table is inspections])))
            connection.execute(reviews.delete().where(gone[0]))
            connection.execute(inspections.delete().where(gone[1]))
            still = sa.select(inspections.c.image).where(inspections.c.image == images.c.digest).exists()
            connection.execute(images.delete().where(images.c.digest.in_(digests - {None}), ~still))
        self._remove_unnamed([digest for digest in digests if digest is not None])
        return len(ids)

    def _remove_unnamed(self, digests: Sequence[str]) -> int:
        """Delete those files that no row names."""
        with self._database.writing() as connection:
            self._database.hold_files(connection, alone=True)
            named: set[str | None] = set()
            for column in _DIGESTS:
                named.update(connection.scalars(sa.select(column).where(column.in_(digests))))
            orphans = [digest for digest in digests if digest not in named]
            for digest in orphans:
                self._blobs.remove(digest)
        return len(orphans)
