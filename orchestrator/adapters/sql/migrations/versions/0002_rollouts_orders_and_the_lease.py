"""Rollouts, orders and the lease."""

import json

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bring the schema to this revision."""
    op.add_column("leadership", sa.Column("until", sa.DateTime(timezone=True), nullable=True))
    op.add_column("tickets", sa.Column("digest", sa.String(length=71), nullable=True))
    op.add_column("tickets", sa.Column("noop", sa.Integer(), nullable=True))
    op.create_index("ix_tickets_digest", "tickets", ["cluster", "digest"], unique=False)
    _fill_tickets()
    op.create_table(
        "rollouts",
        sa.Column("cluster", sa.String(length=63), nullable=False),
        sa.Column("id", sa.String(length=16), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("finished_at", sa.String(length=32), nullable=True),
        sa.Column("record", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("cluster", "id", name=op.f("pk_rollouts")),
    )
    op.create_index("ix_rollouts_number", "rollouts", ["cluster", "number"], unique=False)
    op.create_table(
        "rollout_steps",
        sa.Column("cluster", sa.String(length=63), nullable=False),
        sa.Column("rollout", sa.String(length=16), nullable=False),
        sa.Column("instance", sa.String(length=63), nullable=False),
        sa.Column("record", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["cluster", "rollout"],
            ["rollouts.cluster", "rollouts.id"],
            name=op.f("fk_rollout_steps_rollouts"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("cluster", "rollout", "instance", name=op.f("pk_rollout_steps")),
    )
    op.create_table(
        "orders",
        sa.Column("cluster", sa.String(length=63), nullable=False),
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("instance", sa.String(length=63), nullable=False),
        sa.Column("owner", sa.String(length=63), nullable=False),
        sa.Column("drain", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("created_at", sa.String(length=32), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("record", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["cluster", "instance"], ["instances.cluster", "instances.id"], name=op.f("fk_orders_instances")
        ),
        sa.PrimaryKeyConstraint("cluster", "id", name=op.f("pk_orders")),
    )
    op.create_index("ix_orders_owner", "orders", ["cluster", "owner", "id"], unique=False)
    op.create_index("ix_orders_state", "orders", ["cluster", "state"], unique=False)
    op.create_index("ix_orders_drain", "orders", ["cluster", "drain"], unique=False)
    op.create_table(
        "slots",
        sa.Column("cluster", sa.String(length=63), nullable=False),
        sa.Column("instance", sa.String(length=63), nullable=False),
        sa.Column("role", sa.String(length=63), nullable=False),
        sa.Column("owner", sa.String(length=63), nullable=False),
        sa.Column("since", sa.String(length=32), nullable=False),
        sa.ForeignKeyConstraint(
            ["cluster", "instance"], ["instances.cluster", "instances.id"], name=op.f("fk_slots_instances")
        ),
        sa.PrimaryKeyConstraint("cluster", "instance", name=op.f("pk_slots")),
    )


def _fill_tickets() -> None:
    """Give the requests that are there the columns by which a bundle's dry runs are found."""
    connection = op.get_bind()
    tickets = sa.table(
        "tickets",
        sa.column("cluster"),
        sa.column("id"),
        sa.column("record"),
        sa.column("digest"),
        sa.column("noop"),
    )
    fill = (
        sa.update(tickets)
        .where(
            sa.and_(tickets.c.cluster == sa.bindparam("of_cluster"), tickets.c.id == sa.bindparam("of_id"))
        )
        .values(digest=sa.bindparam("its_digest"), noop=sa.bindparam("its_noop"))
    )
    found = connection.execute(sa.select(tickets.c.cluster, tickets.c.id, tickets.c.record)).all()
    for cluster, ticket, raw in found:
        record = json.loads(raw)
        values = {"its_digest": record["digest"], "its_noop": int(record["noop"])}
        connection.execute(fill, {"of_cluster": cluster, "of_id": ticket, **values})
