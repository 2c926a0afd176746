"""Models that learn from reviews; files that belong to one database, and are found by name."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.create_table(
        "teachings",
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("parent", sa.String(32), nullable=False),
        sa.Column("model", sa.String(32)),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("lesson", sa.Text, nullable=False),
        sa.Column("outcome", sa.Text),
        sa.Column("created", sa.BigInteger, nullable=False),
        sa.Column("ended", sa.BigInteger),
        sa.PrimaryKeyConstraint("id", name="pk_teachings"),
        sa.ForeignKeyConstraint(["parent"], ["models.id"], name="fk_teachings_parent"),
        sa.ForeignKeyConstraint(["model"], ["models.id"], name="fk_teachings_model"),
    )
    op.create_table(
        "pairs",
        sa.Column("id", sa.String(32), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_pairs"),
    )
    op.create_index("ix_inspections_anomaly_map", "inspections", ["anomaly_map"])
    op.create_index("ix_inspections_mask", "inspections", ["mask"])
    op.create_index("ix_reviews_mask", "reviews", ["mask"])
