"""The journal's first tables."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bring the schema to this revision."""
    op.create_table(
        "bundles",
        sa.Column("cluster", sa.String(length=63), nullable=False),
        sa.Column("digest", sa.String(length=71), nullable=False),
        sa.Column("record", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("cluster", "digest", name=op.f("pk_bundles")),
    )
    op.create_table(
        "chunks",
        sa.Column("cluster", sa.String(length=63), nullable=False),
        sa.Column("run", sa.String(length=36), nullable=False),
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("index", sa.Integer(), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("cluster", "run", "name", "index", name=op.f("pk_chunks")),
    )
    op.create_table(
        "events",
        sa.Column("cluster", sa.String(length=63), nullable=False),
        sa.Column("cursor", sa.BigInteger(), nullable=False),
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("kind", sa.String(length=64), nullable=False),
        sa.Column("at", sa.String(length=32), nullable=False),
        sa.Column("instance", sa.String(length=63), nullable=True),
        sa.Column("role", sa.String(length=63), nullable=True),
        sa.Column("boot", sa.String(length=20), nullable=True),
        sa.Column("seq", sa.BigInteger(), nullable=True),
        sa.Column("caused_by", sa.String(length=36), nullable=True),
        sa.Column("body", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("cluster", "cursor", name=op.f("pk_events")),
        sa.UniqueConstraint("cluster", "instance", "boot", "seq", name=op.f("uq_events")),
    )
    op.create_index("ix_events_at", "events", ["cluster", "at"], unique=False)
    op.create_table(
        "instances",
        sa.Column("cluster", sa.String(length=63), nullable=False),
        sa.Column("id", sa.String(length=63), nullable=False),
        sa.Column("revoked", sa.Integer(), nullable=False),
        sa.Column("record", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("cluster", "id", name=op.f("pk_instances")),
    )
    op.create_table(
        "leadership",
        sa.Column("cluster", sa.String(length=63), nullable=False),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        sa.Column("record", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("cluster", name=op.f("pk_leadership")),
    )
    op.create_table(
        "roles",
        sa.Column("cluster", sa.String(length=63), nullable=False),
        sa.Column("role", sa.String(length=63), nullable=False),
        sa.Column("desired", sa.String(length=71), nullable=False),
        sa.PrimaryKeyConstraint("cluster", "role", name=op.f("pk_roles")),
    )
    op.create_table(
        "tickets",
        sa.Column("cluster", sa.String(length=63), nullable=False),
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("created_at", sa.String(length=32), nullable=False),
        sa.Column("record", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("cluster", "id", name=op.f("pk_tickets")),
    )
    op.create_table(
        "commands",
        sa.Column("cluster", sa.String(length=63), nullable=False),
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("instance", sa.String(length=63), nullable=False),
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("record", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["cluster", "instance"], ["instances.cluster", "instances.id"], name=op.f("fk_commands_instances")
        ),
        sa.PrimaryKeyConstraint("cluster", "id", name=op.f("pk_commands")),
    )
    op.create_table(
        "held_facts",
        sa.Column("cluster", sa.String(length=63), nullable=False),
        sa.Column("instance", sa.String(length=63), nullable=False),
        sa.Column("boot", sa.String(length=20), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("payload", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["cluster", "instance"],
            ["instances.cluster", "instances.id"],
            name=op.f("fk_held_facts_instances"),
        ),
        sa.PrimaryKeyConstraint("cluster", "instance", "boot", "seq", name=op.f("pk_held_facts")),
    )
    op.create_table(
        "runs",
        sa.Column("cluster", sa.String(length=63), nullable=False),
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("instance", sa.String(length=63), nullable=False),
        sa.Column("ticket", sa.String(length=36), nullable=True),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("papers_due", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.String(length=32), nullable=False),
        sa.Column("record", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["cluster", "instance"], ["instances.cluster", "instances.id"], name=op.f("fk_runs_instances")
        ),
        sa.ForeignKeyConstraint(
            ["cluster", "ticket"], ["tickets.cluster", "tickets.id"], name=op.f("fk_runs_tickets")
        ),
        sa.PrimaryKeyConstraint("cluster", "id", name=op.f("pk_runs")),
    )
    op.create_index("ix_runs_instance", "runs", ["cluster", "instance", "id"], unique=False)
    op.create_index("ix_runs_state", "runs", ["cluster", "state"], unique=False)
    op.create_index("ix_runs_ticket", "runs", ["cluster", "ticket"], unique=False)
    op.create_table(
        "streams",
        sa.Column("cluster", sa.String(length=63), nullable=False),
        sa.Column("instance", sa.String(length=63), nullable=False),
        sa.Column("boot", sa.String(length=20), nullable=False),
        sa.Column("handled", sa.BigInteger(), nullable=False),
        sa.Column("announced", sa.BigInteger(), nullable=False),
        sa.Column("head", sa.LargeBinary(), nullable=True),
        sa.Column("gone", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["cluster", "instance"], ["instances.cluster", "instances.id"], name=op.f("fk_streams_instances")
        ),
        sa.PrimaryKeyConstraint("cluster", "instance", "boot", name=op.f("pk_streams")),
    )
    op.create_table(
        "changes",
        sa.Column("cluster", sa.String(length=63), nullable=False),
        sa.Column("run", sa.String(length=36), nullable=False),
        sa.Column("index", sa.Integer(), nullable=False),
        sa.Column("record", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["cluster", "run"], ["runs.cluster", "runs.id"], name=op.f("fk_changes_runs"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("cluster", "run", "index", name=op.f("pk_changes")),
    )
    op.create_table(
        "papers",
        sa.Column("cluster", sa.String(length=63), nullable=False),
        sa.Column("run", sa.String(length=36), nullable=False),
        sa.Column("log", sa.LargeBinary(), nullable=True),
        sa.Column("left_out", sa.Integer(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["cluster", "run"], ["runs.cluster", "runs.id"], name=op.f("fk_papers_runs"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("cluster", "run", name=op.f("pk_papers")),
    )
