"""What the service remembers: images, inspections, reviews. What it has answered is on the disk."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, get_args

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from blemish.errors import BlemishError, ConfigError, DataError
from blemish.files import replaced, writing
from blemish.inspection import Inspection
from blemish.serving.blobs import Blobs
from blemish.serving.database import Database
from blemish.serving.priority import priority
from blemish.serving.queries import conditions, number_of, with_review
from blemish.serving.records import (
    EVERYTHING,
    Decision,
    Filter,
    StoredInspection,
    StoredReview,
    Tally,
    Upload,
)
from blemish.serving.removal import Removal
from blemish.serving.tables import images, inspections, models, pairs, reviews, teachings
from blemish.serving.ticks import Ticks, new_id, time_of
from blemish.serving.versions import Versions

_FILES, _MARK = "files", "belongs-to"
_DAY = 24 * 3600 * 1000


class Store:
    """Rows in a database, files in a folder beside it.

    A file is on the disk before a row that names it is. A crash in between leaves a file without a row, which
    `Removal.remove_orphans` finds.

    Args:
        url: of the database, see `Database`.
        folder: for the files.
        now: milliseconds since 1970.

    Attributes:
        versions: the models that it ran, runs and may run.
        removal: of what is old or too much.
    """

    def __init__(self, url: str, folder: Path, now: Callable[[], int] = lambda: time.time_ns() // 1_000_000) -> None:
        self.database = Database(url)
        try:
            self.blobs = Blobs(folder)
            self._check_pair(folder)
            self._now = Ticks(now, self._newest())
        except BaseException:
            self.close()
            raise
        self.versions = Versions(self.database, self._now)
        self.removal = Removal(self.database, self.blobs)

    def close(self) -> None:
        """Give all connections back."""
        self.database.close()

    # inspections

    def add_inspections(
        self, model: str, found: Sequence[tuple[Upload, Inspection, bytes, bytes]]
    ) -> tuple[StoredInspection, ...]:
        """Keep inspections, all of them or none.

        Args:
            model: that inspected.
            found: each with its upload, its anomaly map and its mask as PNG.
        """
        uploads: dict[str, dict[str, Any]] = {}
        rows: list[dict[str, Any]] = []
        files: list[bytes] = []
        for upload, inspection, anomaly_map, mask in found:
            digests = [self.blobs.add(content) for content in (upload.content, anomaly_map, mask)]
            files += upload.content, anomaly_map, mask
            uploads[digests[0]] = {
                "digest": digests[0],
                "media_type": upload.media_type,
                "bytes": len(upload.content),
                "width": upload.size[0],
                "height": upload.size[1],
                "created": self._now(),
            }
            rows.append(
                {
                    "id": new_id(self._now()),
                    "image": digests[0],
                    "model": model,
                    "product": inspection.product if inspection.known else None,
                    "defective": inspection.defective,
                    "category": inspection.category,
                    "priority": priority(inspection),
                    "result": json.dumps({**inspection.to_dict(), "source": upload.name}, ensure_ascii=False),
                    "anomaly_map": digests[1],
                    "mask": digests[2],
                    "created": self._now(),
                }
            )
        if not rows:
            return ()
        with self._keeping(files) as connection:
            connection.execute(_insert_missing(connection, images), list(uploads.values()))
            connection.execute(inspections.insert(), rows)
        return tuple(_inspection(row, None) for row in rows)

    def inspection(self, id: str) -> StoredInspection:
        """One of them. Raises BlemishError."""
        with self.database.reading() as connection:
            row = connection.execute(with_review().where(inspections.c.id == id)).one_or_none()
        if row is None:
            raise BlemishError(f"There is no inspection '{id}'.", "It was removed, or never made.")
        return _inspection(row._mapping, _review(row._mapping))

    def inspections(
        self, only: Filter = EVERYTHING, *, before: str | None = None, limit: int = 100
    ) -> tuple[StoredInspection, ...]:
        """The newest first.

        Args:
            only: which.
            before: id of the last one of the page before.
            limit: at most so many.
        """
        query = with_review().where(*conditions(only)).order_by(inspections.c.id.desc()).limit(limit)
        if before is not None:
            query = query.where(inspections.c.id < before)
        return self._read(query)

    def queue(self, only: Filter = EVERYTHING, *, limit: int = 100) -> tuple[StoredInspection, ...]:
        """Those that nobody has reviewed, what teaches most first; of equals the oldest."""
        query = with_review().where(reviews.c.id.is_(None), *conditions(only))
        return self._read(query.order_by(inspections.c.priority.desc(), inspections.c.id).limit(limit))

    def upload(self, digest: str) -> Upload:
        """An image. Raises BlemishError."""
        with self.database.reading() as connection:
            row = connection.execute(images.select().where(images.c.digest == digest)).one_or_none()
        if row is None:
            raise BlemishError(f"There is no image '{digest}'.", "It was removed, or never came.")
        return Upload(self.blobs.read(digest), row.media_type, (row.width, row.height))

    # reviews

    def add_review(
        self,
        inspection: str,
        decision: Decision,
        *,
        category: str | None = None,
        mask: bytes | None = None,
        reviewer: str | None = None,
    ) -> StoredReview:
        """Keep what somebody says; it counts instead of what was said before.

        Args:
            inspection: id.
            decision: see `StoredReview`.
            category: name of the confirmed defect.
            mask: a corrected one, as PNG.
            reviewer: who.

        Raises:
            BlemishError: there is no such inspection.
            ConfigError: no such decision, or a rejected defect has a name.
        """
        if decision not in get_args(Decision):
            raise ConfigError(f"'{decision}' is no decision.", f"Say {' or '.join(get_args(Decision))}.")
        if decision == "rejected" and (category is not None or mask is not None):
            raise ConfigError("What is no defect has neither a category nor a mask.", "Confirm it, or leave them out.")
        self.inspection(inspection)
        digest = None if mask is None else self.blobs.add(mask)
        review = StoredReview(new_id(self._now()), inspection, decision, category, digest, reviewer, self._now())
        try:
            with self._keeping([] if mask is None else [mask]) as connection:
                connection.execute(reviews.insert().values(**vars(review)))
        except sa.exc.IntegrityError:  # removed meanwhile
            self.inspection(inspection)
            raise
        return review

    def undo(self, review: str) -> None:
        """Take a review back; the one before it counts again. Raises BlemishError where it does not count any more."""
        with self.database.writing() as connection:
            done = connection.execute(
                reviews.update().where(reviews.c.id == review, reviews.c.undone.is_(None)).values(undone=self._now())
            )
        if not done.rowcount:
            raise BlemishError(f"There is no review '{review}' to take back.", "It was taken back already.")

    def names(self, product: str | None = None) -> tuple[str, ...]:
        """Categories that reviews name, of one product or of all, in the order in which they came up."""
        query = with_review().where(reviews.c.category.is_not(None), *conditions(Filter(product=product)))
        with self.database.reading() as connection:
            query = query.with_only_columns(reviews.c.category, maintain_column_froms=True)
            first = sa.func.min(reviews.c.id)
            return tuple(map(str, connection.scalars(query.group_by(reviews.c.category).order_by(first))))

    def products(self) -> tuple[str, ...]:
        """Products that were inspected, sorted."""
        query = sa.select(inspections.c.product).where(inspections.c.product.is_not(None)).distinct()
        with self.database.reading() as connection:
            return tuple(sorted(str(name) for name in connection.scalars(query)))

    def waiting(self, only: Filter = EVERYTHING) -> int:
        """How many inspections nobody has reviewed."""
        query = with_review().where(reviews.c.id.is_(None), *conditions(only))
        with self.database.reading() as connection:
            count = query.with_only_columns(sa.func.count(), maintain_column_froms=True)
            return int(connection.scalar(count) or 0)

    def tallies(self, since: int = 0) -> tuple[Tally, ...]:
        """Counts per day, product and category from a time on, the earliest first."""
        day = sa.cast(sa.func.floor(inspections.c.created / _DAY), sa.BigInteger).label("day")
        query = with_review().with_only_columns(
            day,
            inspections.c.product,
            inspections.c.category,
            sa.func.count().label("inspected"),
            sa.func.sum(sa.cast(inspections.c.defective, sa.Integer)).label("defective"),
            number_of(inspections.c.defective, reviews.c.decision == "confirmed").label("confirmed"),
            number_of(inspections.c.defective, reviews.c.decision == "rejected").label("false_alarms"),
            number_of(inspections.c.category != reviews.c.category, reviews.c.decision == "confirmed").label("renamed"),
            number_of(
                ~inspections.c.defective, inspections.c.product.is_not(None), reviews.c.decision == "confirmed"
            ).label("missed"),
            maintain_column_froms=True,
        )
        groups = (day, inspections.c.product, inspections.c.category)
        with self.database.reading() as connection:
            rows = connection.execute(query.where(inspections.c.created >= since).group_by(*groups)).all()
        found = [Tally(int(row.day) * _DAY, *(row[1:3]), *map(int, row[3:])) for row in rows]
        return tuple(sorted(found, key=lambda one: (one.day, one.product or "", one.category or "")))

    def _check_pair(self, folder: Path) -> None:
        """Database and files know one another, so that nobody removes what another database names.

        Raises:
            ConfigError: they do not.
        """
        mark = folder / _MARK
        with self.database.writing() as connection:
            known = connection.scalar(sa.select(pairs.c.id))
            if known is None and not mark.exists():
                known = secrets.token_hex(16)
                connection.execute(pairs.insert().values(id=known))
                with replaced(mark) as temporary:
                    temporary.write_text(known, encoding="ascii")
        if not mark.exists() or mark.read_text(encoding="ascii") != known:
            raise ConfigError(
                f"The database {self.database.name} does not belong to the files in {folder}.",
                "Name the database that was used with this folder before, or another folder.",
            )

    def _newest(self) -> int:
        """When the newest row was made, whatever the clock says now."""
        with self.database.reading() as connection:
            tables = inspections, reviews, models, teachings
            ids = [connection.scalar(sa.select(sa.func.max(table.c.id))) for table in tables]
        return max((time_of(id) for id in ids if id is not None), default=0)

    @contextmanager
    def _keeping(self, files: Sequence[bytes]) -> Iterator[sa.Connection]:
        """A transaction that names files; should they have been removed as orphans meanwhile, they are there again."""
        with self.database.writing() as connection:
            self.database.hold_files(connection)
            for content in files:
                self.blobs.add(content)
            yield connection

    def _read(self, query: sa.Select[Any]) -> tuple[StoredInspection, ...]:
        with self.database.reading() as connection:
            rows = connection.execute(query).all()
        return tuple(_inspection(row._mapping, _review(row._mapping)) for row in rows)


def open_store(data: Path, url: str | None = None, *, create: bool = True) -> Store:
    """The store of a data folder: its files, and unless `url` says otherwise its database.

    Args:
        data: the folder.
        url: of the database.
        create: whether a folder that is not there is made.

    Raises:
        DataError: there is no such folder.
        BlemishError: the database cannot be used, or the folder not be written.
    """
    data = data.resolve()
    if create:
        with writing(data):
            data.mkdir(parents=True, exist_ok=True)
    elif not (data / _FILES).is_dir():
        raise DataError(f"{data} is no data folder of blemish serve.", "Name the folder that its --data names.")
    return Store(url or f"sqlite:///{data / 'line.db'}", data / _FILES)


def _inspection(row: Mapping[Any, Any], review: StoredReview | None) -> StoredInspection:
    names = ("id", "image", "model", "priority", "anomaly_map", "mask", "created")
    return StoredInspection(result=json.loads(row["result"]), review=review, **{name: row[name] for name in names})


def _review(row: Mapping[Any, Any]) -> StoredReview | None:
    if row["review_id"] is None:
        return None
    return StoredReview(**{column.name: row[f"review_{column.name}"] for column in reviews.c})


def _insert_missing(connection: sa.Connection, table: sa.Table) -> Any:
    """An insertion that leaves rows alone that are there already."""
    kind = postgresql if connection.dialect.name == "postgresql" else sqlite
    return kind.insert(table).on_conflict_do_nothing()
