"""A journal is rows by kind; the orchestrator thinks in instances, each with its runs, commands and facts."""

from dataclasses import replace

from broker.codec import decode
from broker.ids import Boot, InstanceId
from broker.messages import Fact
from orchestrator.domain.instance import Instance
from orchestrator.domain.stream import Arrived
from orchestrator.records import Loaded


def assembled(loaded: Loaded) -> dict[InstanceId, Instance]:
    """Return the instances of a journal, those revoked among them, each with all that is its own."""
    instances = {item.enrolment.id: item for item in (*loaded.instances, *loaded.former)}
    for run in loaded.runs:
        owner = instances[run.instance]
        instances[run.instance] = replace(owner, runs={**owner.runs, run.id: run})
    for order in loaded.orders:
        owner = instances[order.instance]
        instances[order.instance] = replace(owner, orders={**owner.orders, order.id: order})
    for delivery in loaded.deliveries:
        owner = instances[delivery.instance]
        kept = {**owner.deliveries, delivery.id: delivery}
        instances[delivery.instance] = replace(owner, deliveries=kept)
    held = _held(loaded)
    for who, stream in loaded.streams:
        owner = instances[who]
        whole = replace(stream, held=held.get((who, stream.boot), {}))
        instances[who] = replace(owner, streams={**owner.streams, stream.boot: whole})
    return instances


def _held(loaded: Loaded) -> dict[tuple[InstanceId, Boot], dict[int, Arrived]]:
    found: dict[tuple[InstanceId, Boot], dict[int, Arrived]] = {}
    for item in loaded.held:
        fact = decode(item.payload)
        if isinstance(fact, Fact):
            facts = found.setdefault((item.instance, item.boot), {})
            facts[item.seq] = Arrived(fact=fact, payload=item.payload)
    return found
