"""Alembic's entry: runs the revisions on the connection that the store gives it."""

from __future__ import annotations

from alembic import context

from blemish.serving.tables import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
context.run_migrations()
