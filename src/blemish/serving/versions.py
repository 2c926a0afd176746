"""Models that the service may run: which one does, and where the others came from."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from blemish.errors import BlemishError, ConfigError
from blemish.serving.database import Database
from blemish.serving.records import State, StoredModel, StoredTeaching
from blemish.serving.tables import models, promotions, teachings
from blemish.serving.ticks import new_id


class Versions:
    """Models, their promotions, and the teachings that some of them come from.

    Args:
        database: where they are kept.
        now: milliseconds since 1970.
    """

    def __init__(self, database: Database, now: Callable[[], int]) -> None:
        self._database, self._now = database, now

    def new_id(self) -> str:
        """An id that is later than all others."""
        return new_id(self._now())

    def add_model(self, name: str, folder: Path, parent: str | None = None) -> StoredModel:
        """Remember a model folder."""
        model = StoredModel(self.new_id(), name, folder.resolve(), parent, self._now())
        with self._database.writing() as connection:
            connection.execute(
                models.insert().values(
                    id=model.id, name=name, folder=str(model.folder), parent=parent, created=model.created
                )
            )
        return model

    def models(self) -> tuple[StoredModel, ...]:
        """All of them, the oldest first."""
        with self._database.reading() as connection:
            rows = connection.execute(models.select().order_by(models.c.id)).all()
        return tuple(StoredModel(row.id, row.name, Path(row.folder), row.parent, row.created) for row in rows)

    def model(self, id: str) -> StoredModel:
        """One of them. Raises ConfigError."""
        for model in self.models():
            if model.id == id:
                return model
        raise ConfigError(f"There is no model '{id}'.", "GET /v1/models lists them.")

    def promote(self, id: str) -> None:
        """Let a model run from now on; an earlier one as well, which is a roll-back. Raises ConfigError."""
        self.model(id)
        with self._database.writing() as connection:
            connection.execute(promotions.insert().values(model=id, created=self._now()))

    def promotions(self) -> tuple[tuple[str, int], ...]:
        """Models in the order in which they were promoted, and when."""
        with self._database.reading() as connection:
            rows = connection.execute(promotions.select().order_by(promotions.c.number)).all()
        return tuple((row.model, row.created) for row in rows)

    def add_teaching(self, parent: str, lesson: dict[str, Any], id: str | None = None) -> StoredTeaching:
        """Remember that a model learns; `id` from `new_id` where it had to be known before."""
        row: dict[str, Any] = {"id": id or self.new_id(), "parent": parent, "model": None, "state": "running"}
        row |= {
            "lesson": json.dumps(lesson, ensure_ascii=False),
            "outcome": None,
            "created": self._now(),
            "ended": None,
        }
        with self._database.writing() as connection:
            connection.execute(teachings.insert().values(row))
        return _teaching(row)

    def teachings(self) -> tuple[StoredTeaching, ...]:
        """All of them, the newest first."""
        with self._database.reading() as connection:
            rows = connection.execute(teachings.select().order_by(teachings.c.id.desc())).all()
        return tuple(_teaching(row._mapping) for row in rows)

    def teaching(self, id: str) -> StoredTeaching:
        """One of them. Raises BlemishError."""
        for teaching in self.teachings():
            if teaching.id == id:
                return teaching
        raise BlemishError(f"There is no teaching '{id}'.", "GET /v1/teachings lists them.")

    def end_teaching(
        self, id: str, state: State, outcome: dict[str, Any], *, name: str = "", folder: Path | None = None
    ) -> StoredTeaching:
        """A teaching runs no more; with `folder` a model of that name came out of it.

        Raises:
            ConfigError: it ran no more before.
        """
        running = self.teaching(id)
        model = None if folder is None else self.new_id()
        now = self._now()
        with self._database.writing() as connection:
            state_now = connection.scalar(sa.select(teachings.c.state).where(teachings.c.id == id).with_for_update())
            if state_now != "running":
                raise ConfigError("The teaching has ended already.", "See how it ended.")
            if folder is not None:
                row = {"id": model, "name": name, "folder": str(folder.resolve()), "parent": running.parent}
                connection.execute(models.insert().values(**row, created=now))
            text = json.dumps(outcome, ensure_ascii=False)
            values = {"state": state, "outcome": text, "model": model, "ended": now}
            connection.execute(teachings.update().where(teachings.c.id == id).values(**values))
        return self.teaching(id)

    def discard_teaching(self, id: str) -> None:
        """Forget the model that came out of a teaching. Raises ConfigError where it has been promoted, or is none."""
        found = self.teaching(id)
        if found.state != "finished" or found.model is None:
            raise ConfigError("There is nothing to discard.", "Only a finished teaching has a model.")
        if found.model in [model for model, _ in self.promotions()]:
            raise ConfigError("A model that has been promoted stays.", "Promote another one instead.")
        with self._database.writing() as connection:
            changed = teachings.update().where(teachings.c.id == id).values(state="discarded", model=None)
            connection.execute(changed)
            connection.execute(models.delete().where(models.c.id == found.model))


def _teaching(row: Mapping[Any, Any]) -> StoredTeaching:
    values = {name: row[name] for name in ("id", "parent", "model", "state", "created", "ended")}
    outcome = None if row["outcome"] is None else json.loads(row["outcome"])
    return StoredTeaching(lesson=json.loads(row["lesson"]), outcome=outcome, **values)
