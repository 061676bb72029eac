"""What a new process works with: everything that is open, read in one transaction."""

from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, RowMapping, Table, and_, func, select

from broker.ids import ClusterName
from orchestrator.adapters.sql import lease, rollout_rows, rows
from orchestrator.adapters.sql.schema import (
    BUNDLES,
    COMMANDS,
    EVENTS,
    HELD,
    INSTANCES,
    ORDERS,
    ROLES,
    ROLLOUTS,
    RUNS,
    SLOTS,
    STEPS,
    STREAMS,
    TICKETS,
    TOKENS,
)
from orchestrator.domain.joining import JoinToken
from orchestrator.domain.model import Bundle, Run, Ticket
from orchestrator.domain.rollout.model import Rollout, RolloutState
from orchestrator.domain.views import RunState
from orchestrator.records import HeldFact, Loaded

OPEN_RUNS: Final = tuple(state.value for state in RunState if not state.is_final)
OPEN_ROLLOUTS: Final = tuple(state.value for state in RolloutState if not state.is_final)


class Loader:
    """Reads one cluster over a connection of the caller's."""

    def __init__(self, connection: Connection, cluster: ClusterName) -> None:
        self._connection = connection
        self._cluster = cluster

    def load(self) -> Loaded:
        """Return all that is open."""
        leadership = lease.leader(self._connection, self._cluster)
        if leadership is None:
            raise ValueError("nobody leads: call lead() first")
        runs = [rows.value(row["record"], Run) for row in self._every(RUNS, RUNS.c.state.in_(OPEN_RUNS))]
        tickets = {run.ticket for run in runs if run.ticket is not None}
        return Loaded(
            leadership=leadership,
            instances=[rows.instance_of(row) for row in self._every(INSTANCES, INSTANCES.c.revoked == 0)],
            former=[rows.instance_of(row) for row in self._every(INSTANCES, INSTANCES.c.revoked == 1)],
            streams=[rows.stream_of(row) for row in self._every(STREAMS)],
            held=[HeldFact(**{name: row[name] for name in HeldFact.__slots__}) for row in self._every(HELD)],
            runs=runs,
            deliveries=[rows.delivery_of(row) for row in self._every(COMMANDS)],
            tickets=self._tickets(tickets),
            bundles=[rows.value(row["record"], Bundle) for row in self._every(BUNDLES)],
            role_desired={row["role"]: row["desired"] for row in self._every(ROLES)},
            papers_due=[rows.value(row["record"], Run) for row in self._every(RUNS, RUNS.c.papers_due == 1)],
            cursor=self._highest(EVENTS.c.cursor),
            orders=[rollout_rows.order_of(row) for row in self._every(ORDERS, ORDERS.c.state.in_(OPEN_RUNS))],
            rollouts=self._rollouts(),
            slots=[rollout_rows.slot_of(row) for row in self._every(SLOTS)],
            tokens=[rows.value(row["record"], JoinToken) for row in self._every(TOKENS)],
            newest_rollout=self._highest(ROLLOUTS.c.number),
            newest_drain=self._highest(ORDERS.c.drain),
        )

    def _tickets(self, wanted: set[str]) -> list[Ticket]:
        found = self._every(TICKETS, TICKETS.c.id.in_(wanted))
        return [rows.value(row["record"], Ticket) for row in found]

    def _rollouts(self) -> list[Rollout]:
        still = and_(ROLLOUTS.c.cluster == self._cluster, ROLLOUTS.c.state.in_(OPEN_ROLLOUTS))
        steps = rollout_rows.steps_of(
            self._every(STEPS, STEPS.c.rollout.in_(select(ROLLOUTS.c.id).where(still)))
        )
        found = self._every(ROLLOUTS, ROLLOUTS.c.state.in_(OPEN_ROLLOUTS))
        return [rollout_rows.rollout_of(row, steps.get(row["id"])) for row in found]

    def _every(self, table: Table, *also: ColumnElement[bool]) -> Sequence[RowMapping]:
        query = select(table).where(and_(table.c.cluster == self._cluster, *also))
        return self._connection.execute(query).mappings().all()

    def _highest(self, column: Any) -> int:
        query = select(func.max(column)).where(column.table.c.cluster == self._cluster)
        return self._connection.execute(query).scalar_one() or 0
