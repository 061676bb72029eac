"""The journal's tables: every one keyed by cluster, so that several can share a database.

What is looked up or ordered by has a column of its own; the rest of a record is JSON in `record`, which only
grows fields. `migrations/` brings a database from any earlier schema to this one. Times of ours are text, as
ISO 8601 in UTC, which sorts; only `leadership.until` is the database's own (`lease.py`).
"""

from typing import Final

from sqlalchemy import (
    BigInteger,
    Column,
    DateTime,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    String,
    Table,
    Text,
    UniqueConstraint,
)

METADATA: Final = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(referred_table_name)s",
        "uq": "uq_%(table_name)s",
        "ix": "ix_%(table_name)s_%(column_0_name)s",
    }
)


def _of_instance() -> ForeignKeyConstraint:
    return ForeignKeyConstraint(["cluster", "instance"], ["instances.cluster", "instances.id"])


def _of_run() -> ForeignKeyConstraint:
    return ForeignKeyConstraint(["cluster", "run"], ["runs.cluster", "runs.id"], ondelete="CASCADE")


LEADERSHIP: Final = Table(
    "leadership",
    METADATA,
    Column("cluster", String(63), primary_key=True),
    Column("epoch", BigInteger, nullable=False),
    Column("until", DateTime(timezone=True)),
    Column("record", Text, nullable=False),
)
INSTANCES: Final = Table(
    "instances",
    METADATA,
    Column("cluster", String(63)),
    Column("id", String(63)),
    Column("revoked", Integer, nullable=False),
    Column("record", Text, nullable=False),
    PrimaryKeyConstraint("cluster", "id"),
)
ROLES: Final = Table(
    "roles",
    METADATA,
    Column("cluster", String(63)),
    Column("role", String(63)),
    Column("desired", String(71), nullable=False),
    PrimaryKeyConstraint("cluster", "role"),
)
BUNDLES: Final = Table(
    "bundles",
    METADATA,
    Column("cluster", String(63)),
    Column("digest", String(71)),
    Column("record", Text, nullable=False),
    PrimaryKeyConstraint("cluster", "digest"),
)
TICKETS: Final = Table(
    "tickets",
    METADATA,
    Column("cluster", String(63)),
    Column("id", String(36)),
    Column("created_at", String(32), nullable=False),
    Column("digest", String(71)),
    Column("noop", Integer),
    Column("record", Text, nullable=False),
    PrimaryKeyConstraint("cluster", "id"),
    Index("ix_tickets_digest", "cluster", "digest"),
)
RUNS: Final = Table(
    "runs",
    METADATA,
    Column("cluster", String(63)),
    Column("id", String(36)),
    Column("instance", String(63), nullable=False),
    Column("ticket", String(36)),
    Column("state", String(16), nullable=False),
    Column("papers_due", Integer, nullable=False),
    Column("created_at", String(32), nullable=False),
    Column("record", Text, nullable=False),
    PrimaryKeyConstraint("cluster", "id"),
    _of_instance(),
    ForeignKeyConstraint(["cluster", "ticket"], ["tickets.cluster", "tickets.id"]),
    Index("ix_runs_instance", "cluster", "instance", "id"),
    Index("ix_runs_ticket", "cluster", "ticket"),
    Index("ix_runs_state", "cluster", "state"),
)
ROLLOUTS: Final = Table(
    "rollouts",
    METADATA,
    Column("cluster", String(63)),
    Column("id", String(16)),
    Column("number", BigInteger, nullable=False),
    Column("state", String(16), nullable=False),
    Column("finished_at", String(32)),
    Column("record", Text, nullable=False),
    PrimaryKeyConstraint("cluster", "id"),
    Index("ix_rollouts_number", "cluster", "number"),
)
STEPS: Final = Table(
    "rollout_steps",
    METADATA,
    Column("cluster", String(63)),
    Column("rollout", String(16)),
    Column("instance", String(63)),
    Column("record", Text, nullable=False),
    PrimaryKeyConstraint("cluster", "rollout", "instance"),
    ForeignKeyConstraint(["cluster", "rollout"], ["rollouts.cluster", "rollouts.id"], ondelete="CASCADE"),
)
ORDERS: Final = Table(
    "orders",
    METADATA,
    Column("cluster", String(63)),
    Column("id", String(36)),
    Column("instance", String(63), nullable=False),
    Column("owner", String(63), nullable=False),
    Column("drain", BigInteger, nullable=False),
    Column("state", String(16), nullable=False),
    Column("kind", String(32), nullable=False),
    Column("created_at", String(32), nullable=False),
    Column("body", Text, nullable=False),
    Column("record", Text, nullable=False),
    PrimaryKeyConstraint("cluster", "id"),
    _of_instance(),
    Index("ix_orders_owner", "cluster", "owner", "id"),
    Index("ix_orders_state", "cluster", "state"),
    Index("ix_orders_drain", "cluster", "drain"),
)
SLOTS: Final = Table(
    "slots",
    METADATA,
    Column("cluster", String(63)),
    Column("instance", String(63)),
    Column("role", String(63), nullable=False),
    Column("owner", String(63), nullable=False),
    Column("since", String(32), nullable=False),
    PrimaryKeyConstraint("cluster", "instance"),
    _of_instance(),
)
TOKENS: Final = Table(
    "join_tokens",
    METADATA,
    Column("cluster", String(63)),
    Column("id", String(16)),
    Column("expires_at", String(32), nullable=False),
    Column("record", Text, nullable=False),
    PrimaryKeyConstraint("cluster", "id"),
)
COMMANDS: Final = Table(
    "commands",
    METADATA,
    Column("cluster", String(63)),
    Column("id", String(36)),
    Column("instance", String(63), nullable=False),
    Column("kind", String(32), nullable=False),
    Column("body", Text, nullable=False),
    Column("record", Text, nullable=False),
    PrimaryKeyConstraint("cluster", "id"),
    _of_instance(),
)
STREAMS: Final = Table(
    "streams",
    METADATA,
    Column("cluster", String(63)),
    Column("instance", String(63)),
    Column("boot", String(20)),
    Column("handled", BigInteger, nullable=False),
    Column("announced", BigInteger, nullable=False),
    Column("head", LargeBinary),
    Column("gone", Text, nullable=False),
    PrimaryKeyConstraint("cluster", "instance", "boot"),
    _of_instance(),
)
HELD: Final = Table(
    "held_facts",
    METADATA,
    Column("cluster", String(63)),
    Column("instance", String(63)),
    Column("boot", String(20)),
    Column("seq", BigInteger),
    Column("payload", LargeBinary, nullable=False),
    PrimaryKeyConstraint("cluster", "instance", "boot", "seq"),
    _of_instance(),
)
CHUNKS: Final = Table(
    "chunks",
    METADATA,
    Column("cluster", String(63)),
    Column("run", String(36)),
    Column("name", String(64)),
    Column("index", Integer),
    Column("content", LargeBinary, nullable=False),
    PrimaryKeyConstraint("cluster", "run", "name", "index"),
)
PAPERS: Final = Table(
    "papers",
    METADATA,
    Column("cluster", String(63)),
    Column("run", String(36)),
    Column("log", LargeBinary),
    Column("left_out", Integer, nullable=False),
    Column("reason", Text, nullable=False),
    PrimaryKeyConstraint("cluster", "run"),
    _of_run(),
)
CHANGES: Final = Table(
    "changes",
    METADATA,
    Column("cluster", String(63)),
    Column("run", String(36)),
    Column("index", Integer),
    Column("record", Text, nullable=False),
    PrimaryKeyConstraint("cluster", "run", "index"),
    _of_run(),
)
EVENTS: Final = Table(
    "events",
    METADATA,
    Column("cluster", String(63)),
    Column("cursor", BigInteger),
    Column("id", String(36), nullable=False),
    Column("kind", String(64), nullable=False),
    Column("at", String(32), nullable=False),
    Column("instance", String(63)),
    Column("role", String(63)),
    Column("boot", String(20)),
    Column("seq", BigInteger),
    Column("caused_by", String(36)),
    Column("body", Text, nullable=False),
    PrimaryKeyConstraint("cluster", "cursor"),
    UniqueConstraint("cluster", "instance", "boot", "seq"),
    Index("ix_events_at", "cluster", "at"),
)
