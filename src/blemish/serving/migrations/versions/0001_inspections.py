"""Images, models and inspections."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "images",
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("media_type", sa.String(40), nullable=False),
        sa.Column("bytes", sa.BigInteger, nullable=False),
        sa.Column("width", sa.Integer, nullable=False),
        sa.Column("height", sa.Integer, nullable=False),
        sa.Column("created", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("digest", name="pk_images"),
    )
    op.create_table(
        "models",
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("name", sa.String(200), nullable=False),
        sa.Column("folder", sa.Text, nullable=False),
        sa.Column("parent", sa.String(32)),
        sa.Column("created", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_models"),
        sa.ForeignKeyConstraint(["parent"], ["models.id"], name="fk_models_parent"),
    )
    op.create_table(
        "promotions",
        sa.Column("number", sa.Integer, nullable=False, autoincrement=True),
        sa.Column("model", sa.String(32), nullable=False),
        sa.Column("created", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("number", name="pk_promotions"),
        sa.ForeignKeyConstraint(["model"], ["models.id"], name="fk_promotions_model"),
    )
    op.create_table(
        "inspections",
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("image", sa.String(64), nullable=False),
        sa.Column("model", sa.String(32), nullable=False),
        sa.Column("product", sa.String(200)),
        sa.Column("defective", sa.Boolean, nullable=False),
        sa.Column("category", sa.String(200)),
        sa.Column("priority", sa.Float, nullable=False),
        sa.Column("result", sa.Text, nullable=False),
        sa.Column("anomaly_map", sa.String(64), nullable=False),
        sa.Column("mask", sa.String(64), nullable=False),
        sa.Column("created", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_inspections"),
        sa.ForeignKeyConstraint(["image"], ["images.digest"], name="fk_inspections_image"),
        sa.ForeignKeyConstraint(["model"], ["models.id"], name="fk_inspections_model"),
    )
    op.create_index("ix_inspections_product_id", "inspections", ["product", "id"])
    op.create_index("ix_inspections_priority_id", "inspections", ["priority", "id"])
    op.create_index("ix_inspections_image", "inspections", ["image"])
