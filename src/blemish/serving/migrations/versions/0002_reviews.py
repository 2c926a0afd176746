"""What people say of inspections."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.create_table(
        "reviews",
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("inspection", sa.String(32), nullable=False),
        sa.Column("decision", sa.String(16), nullable=False),
        sa.Column("category", sa.String(200)),
        sa.Column("mask", sa.String(64)),
        sa.Column("reviewer", sa.String(200)),
        sa.Column("created", sa.BigInteger, nullable=False),
        sa.Column("undone", sa.BigInteger),
        sa.PrimaryKeyConstraint("id", name="pk_reviews"),
        sa.ForeignKeyConstraint(["inspection"], ["inspections.id"], name="fk_reviews_inspection"),
    )
    op.create_index("ix_reviews_inspection_id", "reviews", ["inspection", "id"])
