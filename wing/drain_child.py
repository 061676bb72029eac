"""The short-lived child that empties its Node, or gives it back; see `errand` for what it speaks."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from broker.messages import CordonChanged, Drain, Drainer, DrainFinished, DrainStarted, Uncordon
from wing import site_command
from wing.child import Tell, main, utc_now
from wing.cluster import ClusterError, Node, NodeApi
from wing.cordon import lift
from wing.drain_state import Charge, Pace
from wing.drainer import Around, drain
from wing.errand import Errand, OrderEnd, Place
from wing.events import Done, Stopped, Unable
from wing.selectors import SelectorError, parse

UNCORDON_S: Final = 60.0
UNCORDON_COMMAND_S: Final = 600.0


async def carry_out(errand: Errand, tell: Tell, cancel: asyncio.Event) -> OrderEnd:
    """Drain or uncordon as `errand` asks; what happens meanwhile is told."""
    try:
        if errand.uncordon is not None:
            return await _uncordoned(errand, errand.uncordon, tell, cancel)
        if errand.drain is None:
            return Unable(reason="an errand for no drain")
        if errand.drain.policy.drainer is Drainer.COMMAND:
            return await _by_command(errand, errand.drain, tell, cancel)
        return await _by_kubernetes(errand, errand.drain, tell, cancel)
    except (ClusterError, SelectorError) as error:
        return Unable(reason=str(error))


async def _by_kubernetes(errand: Errand, order: Drain, tell: Tell, cancel: asyncio.Event) -> OrderEnd:
    charge = Charge(
        command=errand.command,
        order=order,
        node=errand.place.node,
        selectors=tuple(parse(text) for text in order.policy.delete_selectors),
    )
    async with _opened(errand.place) as api:
        return await drain(charge, Around(api=api, clock=utc_now, tell=tell), cancel, Pace())


async def _by_command(errand: Errand, order: Drain, tell: Tell, cancel: asyncio.Event) -> OrderEnd:
    began = utc_now()
    tell(
        DrainStarted(
            command=errand.command,
            order=order.order,
            drainer=Drainer.COMMAND,
            node=errand.place.node,
            total=0,
        )
    )
    ran = await site_command.run(
        errand.place.command,
        timeout_s=order.policy.timeout_s,
        cancel=cancel,
        variables=_variables(errand, order.owner),
    )
    took_ms = round((utc_now() - began).total_seconds() * 1000)
    tell(
        DrainFinished(
            command=errand.command,
            order=order.order,
            took_ms=max(0, took_ms),
            evicted=0,
            output=ran.output,
        )
    )
    if cancel.is_set():
        return Stopped()
    return Done() if ran.ok else Unable(reason=f"the drain command {ran.saw()}")


async def _uncordoned(errand: Errand, order: Uncordon, tell: Tell, cancel: asyncio.Event) -> OrderEnd:
    place = errand.place
    if place.kubeconfig is not None:
        async with _opened(place) as api:
            node = await lift(api, order.owner, patience_s=UNCORDON_S, pause_s=Pace().look_s)
        tell(_lifted(errand, order, node))
    if not place.uncordon_command:
        return Done()
    ran = await site_command.run(
        place.uncordon_command,
        timeout_s=UNCORDON_COMMAND_S,
        cancel=cancel,
        variables=_variables(errand, order.owner),
    )
    if cancel.is_set():
        return Stopped()
    return Done() if ran.ok else Unable(reason=f"the uncordon command {ran.saw()}")


def _lifted(errand: Errand, order: Uncordon, node: Node) -> CordonChanged:
    reason = f"cordoned by {node.owner or 'somebody else'}" if node.cordoned else ""
    return CordonChanged(
        command=errand.command,
        order=order.order,
        node=node.name,
        cordoned=node.cordoned,
        owned=False,
        reason=reason,
    )


@asynccontextmanager
async def _opened(place: Place) -> AsyncIterator[NodeApi]:
    from wing.kubernetes import node_api  # noqa: PLC0415 - the site's own command needs no Kubernetes client

    async with node_api(Path(place.kubeconfig or ""), place.node) as api:
        yield api


def _variables(errand: Errand, owner: str) -> dict[str, str]:
    return {"TARMAK_NODE": errand.place.node, "TARMAK_OWNER": owner}


if __name__ == "__main__":
    sys.exit(main(carry_out))
