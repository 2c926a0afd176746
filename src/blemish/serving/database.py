"""Connections to SQLite or PostgreSQL, brought to the present revision."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError

from blemish.errors import BlemishError, ConfigError, MissingExtraError

_BUSY_SECONDS = 30
_MIGRATING = 0x626C656D  # PostgreSQL's lock while one of several services migrates
_FILES = 0x66696C65  # and its lock on the files
_WRITES = {"blemish_writes": True}


class Database:
    """A pool of connections.

    Args:
        url: `sqlite:///file`, or `postgresql://user:password@host/name`.

    Raises:
        ConfigError: no such database is known.
        BlemishError: it cannot be reached, or is of a later version.
        MissingExtraError: PostgreSQL's driver is not installed.
    """

    def __init__(self, url: str) -> None:
        self.engine = _engine(url)
        try:
            with self.writing() as connection:
                if connection.dialect.name == "postgresql":
                    connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_MIGRATING)))
                migrate(connection)
        except BaseException as error:
            self.close()
            if not isinstance(error, DBAPIError):
                raise
            reason = str(error.orig).strip().splitlines()[0]
            raise BlemishError(
                f"The database {self.name} cannot be used: {reason}.", "Check its address, and that it runs."
            ) from error

    @property
    def name(self) -> str:
        """Its address without the password."""
        return self.engine.url.render_as_string(hide_password=True)

    @contextmanager
    def reading(self) -> Iterator[sa.Connection]:
        """A transaction that changes nothing."""
        with self.engine.connect() as connection, connection.begin():
            yield connection

    @contextmanager
    def writing(self) -> Iterator[sa.Connection]:
        """A transaction that is on the disk when the block ends, or has changed nothing when it raises."""
        with self.engine.connect() as connection:
            connection = connection.execution_options(**_WRITES)
            with connection.begin():
                yield connection

    def hold_files(self, connection: sa.Connection, *, alone: bool = False) -> None:
        """Until the transaction ends nobody removes files; `alone`: nobody adds any either.

        SQLite has one writer at a time anyway.
        """
        if connection.dialect.name == "postgresql":
            lock = sa.func.pg_advisory_xact_lock if alone else sa.func.pg_advisory_xact_lock_shared
            connection.execute(sa.select(lock(_FILES)))

    def close(self) -> None:
        """Give all connections back."""
        self.engine.dispose()


def migrate(connection: sa.Connection, revision: str = "head") -> None:
    """Bring the tables to a revision, by default the present one.

    Raises:
        BlemishError: they are of a later version of Blemish.
    """
    from alembic.util import CommandError

    with as_file(files("blemish.serving").joinpath("migrations")) as folder:
        config = Config()
        config.set_main_option("script_location", str(Path(folder)).replace("%", "%%"))
        config.attributes["connection"] = connection
        try:
            command.upgrade(config, revision)
        except CommandError as error:
            raise BlemishError(
                f"The database is of another version of Blemish: {error}.",
                "Update Blemish, or name another one.",
            ) from error


def _engine(url: str) -> sa.Engine:
    try:
        address = sa.make_url(url)
        if address.drivername in ("postgresql", "postgres"):
            address = address.set(drivername="postgresql+psycopg")
        if address.get_backend_name() not in ("sqlite", "postgresql"):
            raise ArgumentError(f"no such database '{address.get_backend_name()}'")
        options: dict[str, Any] = {"pool_pre_ping": True}
        if address.get_backend_name() == "sqlite":
            options = {"connect_args": {"timeout": _BUSY_SECONDS}}
        engine = sa.create_engine(address, **options)
    except (ArgumentError, NoSuchModuleError) as error:
        raise ConfigError(
            f"'{url}' is no address of a database: {error}.", "Say sqlite:///file or postgresql://user@host/name."
        ) from error
    except ModuleNotFoundError as error:
        raise MissingExtraError(error.name or "psycopg", "postgresql", "A PostgreSQL database") from None
    if address.get_backend_name() == "sqlite":
        sa.event.listen(engine, "connect", _prepare)
        sa.event.listen(engine, "begin", _begin)
    return engine


def _prepare(connection: Any, _: object) -> None:
    """SQLite: readers go on beside a writer, and what is committed survives a power cut."""
    connection.isolation_level = None  # transactions begin as `_begin` says, not where the driver sees fit
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}")


def _begin(connection: sa.Connection) -> None:
    """Writers queue before they read, for one that read an old state could not write any more."""
    writes = connection.get_execution_options().get("blemish_writes")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
