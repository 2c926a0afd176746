"""The tables of the service. Times are milliseconds since 1970, UTC."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
)

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

DIGEST, ID, NAME = String(64), String(32), String(200)

# an uploaded image, by the SHA-256 of its bytes
images = Table(
    "images",
    metadata,
    Column("digest", DIGEST, primary_key=True),
    Column("media_type", String(40), nullable=False),
    Column("bytes", BigInteger, nullable=False),
    Column("width", Integer, nullable=False),
    Column("height", Integer, nullable=False),
    Column("created", BigInteger, nullable=False),
)

# a model folder that the service may run
models = Table(
    "models",
    metadata,
    Column("id", ID, primary_key=True),
    Column("name", NAME, nullable=False),
    Column("folder", Text, nullable=False),
    Column("parent", ID, ForeignKey("models.id")),
    Column("created", BigInteger, nullable=False),
)

# the last row tells which model runs
promotions = Table(
    "promotions",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=True),
    Column("model", ID, ForeignKey("models.id"), nullable=False),
    Column("created", BigInteger, nullable=False),
)

inspections = Table(
    "inspections",
    metadata,
    Column("id", ID, primary_key=True),  # in the order of time
    Column("image", DIGEST, ForeignKey("images.digest"), nullable=False),
    Column("model", ID, ForeignKey("models.id"), nullable=False),
    Column("product", NAME),  # null: like none of the model's
    Column("defective", Boolean, nullable=False),
    Column("category", NAME),
    Column("priority", Float, nullable=False),  # see `priority.py`
    Column("result", Text, nullable=False),  # Inspection.to_dict() as JSON
    Column("anomaly_map", DIGEST, nullable=False),
    Column("mask", DIGEST, nullable=False),
    Column("created", BigInteger, nullable=False),
    Index(None, "product", "id"),
    Index(None, "priority", "id"),
    Index(None, "image"),
    Index(None, "anomaly_map"),
    Index(None, "mask"),
)

# what somebody said of an inspection; the newest one that was not taken back counts
reviews = Table(
    "reviews",
    metadata,
    Column("id", ID, primary_key=True),  # in the order of time
    Column("inspection", ID, ForeignKey("inspections.id"), nullable=False),
    Column("decision", String(16), nullable=False),
    Column("category", NAME),
    Column("mask", DIGEST),  # a corrected one
    Column("reviewer", NAME),
    Column("created", BigInteger, nullable=False),
    Column("undone", BigInteger),
    Index(None, "inspection", "id"),
    Index(None, "mask"),
)

# a model that learns from reviews
teachings = Table(
    "teachings",
    metadata,
    Column("id", ID, primary_key=True),  # in the order of time
    Column("parent", ID, ForeignKey("models.id"), nullable=False),
    Column("model", ID, ForeignKey("models.id")),  # what came out of it
    Column("state", String(16), nullable=False),
    Column("lesson", Text, nullable=False),  # JSON: what it learns from
    Column("outcome", Text),  # JSON: both models compared, or why there is none
    Column("created", BigInteger, nullable=False),
    Column("ended", BigInteger),
)

# one row: what the folder of files is marked with
pairs = Table("pairs", metadata, Column("id", ID, primary_key=True))
