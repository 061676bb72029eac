"""A batch becomes rows: what is written first is what the rest refers to."""

from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import Connection, Table, and_, bindparam, delete, insert

from broker.ids import ClusterName
from orchestrator.adapters.sql import lease, rollout_rows, rows
from orchestrator.adapters.sql.dialect import upsert
from orchestrator.adapters.sql.schema import (
    BUNDLES,
    CHANGES,
    CHUNKS,
    COMMANDS,
    EVENTS,
    HELD,
    INSTANCES,
    ORDERS,
    PAPERS,
    ROLES,
    ROLLOUTS,
    RUNS,
    SLOTS,
    STEPS,
    STREAMS,
    TICKETS,
    TOKENS,
)
from orchestrator.records import Batch


class Writer:
    """Writes a batch of one cluster within a transaction of the caller's."""

    def __init__(self, connection: Connection, cluster: ClusterName) -> None:
        self._connection = connection
        self._cluster = cluster

    def write(self, batch: Batch) -> None:
        """Write all of it."""
        if batch.leadership is not None:
            lease.raised(self._connection, self._cluster, batch.leadership)
        instances = batch.instances.items()
        self._put(
            INSTANCES, [rows.instance_row(item, revoked=key in batch.revoked) for key, item in instances]
        )
        self._put(ROLES, [{"role": key, "desired": digest} for key, digest in batch.role_desired.items()])
        self._put(BUNDLES, [{"digest": item.digest, "record": rows.text(item)} for item in batch.bundles])
        self._put(TICKETS, [rows.ticket_row(ticket) for ticket in batch.tickets])
        self._put(RUNS, [rows.run_row(run) for run in batch.runs.values()])
        self._write_rollouts(batch)
        self._put(TOKENS, [rows.token_row(token) for token in batch.tokens.values()])
        self._remove(TOKENS, ("id",), [{"id": key} for key in sorted(batch.withdrawn)])
        self._put(COMMANDS, [rows.delivery_row(item) for item in batch.deliveries.values()])
        self._remove(COMMANDS, ("id",), [{"id": key} for key in sorted(batch.dropped)])
        self._write_facts(batch)
        self._write_papers(batch)
        self._add(EVENTS, [rows.event_row(item) for item in batch.events])

    def _write_rollouts(self, batch: Batch) -> None:
        self._put(ROLLOUTS, [rollout_rows.rollout_row(item) for item in batch.rollouts.values()])
        self._put(STEPS, [rollout_rows.step_row(key[0], step) for key, step in batch.steps.items()])
        self._put(ORDERS, [rollout_rows.order_row(order) for order in batch.orders.values()])
        self._put(SLOTS, [rollout_rows.slot_row(slot) for slot in batch.slots.values()])
        self._remove(SLOTS, ("instance",), [{"instance": key} for key in sorted(batch.freed)])

    def _write_facts(self, batch: Batch) -> None:
        self._put(HELD, [rows.held_row(*item) for item in batch.held])
        streams = [rows.stream_row(key[0], item) for key, item in batch.streams.items()]
        self._put(STREAMS, streams)
        passed = [{name: row[name] for name in ("instance", "boot", "handled")} for row in streams]
        self._remove(HELD, ("instance", "boot"), passed, HELD.c.seq <= bindparam("of_handled"))
        self._put(CHUNKS, [rows.chunk_row(chunk) for chunk in batch.chunks])

    def _write_papers(self, batch: Batch) -> None:
        self._put(PAPERS, [rows.papers_row(papers) for papers in batch.papers])
        changes = [
            {"run": papers.run, "index": index, "record": rows.text(change)}
            for papers in batch.papers
            for index, change in enumerate(papers.changes)
        ]
        self._put(CHANGES, changes)
        self._remove(CHUNKS, ("run",), [{"run": papers.run} for papers in batch.papers])

    def _put(self, table: Table, items: Sequence[dict[str, Any]]) -> None:
        upsert(self._connection, table, [{"cluster": self._cluster, **item} for item in items])

    def _add(self, table: Table, items: Sequence[dict[str, Any]]) -> None:
        if items:
            self._connection.execute(insert(table), [{"cluster": self._cluster, **item} for item in items])

    def _remove(
        self, table: Table, keys: Collection[str], items: Sequence[dict[str, Any]], *also: Any
    ) -> None:
        """Delete the rows whose `keys` are as in one of `items`: one statement, however many there are."""
        if not items:
            return
        of_keys = (table.c[name] == bindparam(f"of_{name}") for name in keys)
        statement = delete(table).where(and_(table.c.cluster == self._cluster, *of_keys, *also))
        self._connection.execute(
            statement, [{f"of_{name}": item for name, item in row.items()} for row in items]
        )
