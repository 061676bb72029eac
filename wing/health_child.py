"""The short-lived child that looks whether an instance is well; see `errand` for what it speaks."""

import asyncio
import sys
from collections.abc import Awaitable, Callable
from datetime import datetime
from functools import partial
from pathlib import Path

from broker.messages import CommandCheck, EtcdCheck, Health, VaultCheck
from wing import site_command
from wing.child import Tell, main, utc_now
from wing.cluster import ClusterError
from wing.errand import Errand, OrderEnd, Place
from wing.events import Stopped, Unable
from wing.health import AllLooked, HealthWatch, LookAt, Settle, Sighting, TellChecked, WatchBegun, WatchEffect
from wing.judgements import ETCD, NODE, VAULT, judged_etcd, judged_node, judged_vault, seen
from wing.probes import LookError, look_at_etcd, look_at_url, look_at_vault

Look = Callable[[], Awaitable[Sighting]]


async def carry_out(errand: Errand, tell: Tell, cancel: asyncio.Event) -> OrderEnd:
    """Look until all is well or the order's time is over; once `cancel` is set, look no more."""
    if errand.health is None:
        return Unable(reason="an errand for no look at health")
    async with asyncio.TaskGroup() as tasks:
        watching = tasks.create_task(watch(errand, errand.health, tell), name="wing.health")
        cancelling = tasks.create_task(cancel.wait(), name="wing.health.cancel")
        await asyncio.wait({watching, cancelling}, return_when=asyncio.FIRST_COMPLETED)
        watching.cancel()
        cancelling.cancel()
    return Stopped() if watching.cancelled() else watching.result()


async def watch(errand: Errand, order: Health, tell: Tell) -> OrderEnd:
    """Make every check again and again until `HealthWatch` has seen enough."""
    looks = _looks(order, errand.place)
    watching, effects = HealthWatch(command=errand.command, order=order).handle(WatchBegun(at=utc_now()))
    while True:
        due, end = _carried_out(effects, tell)
        if end is not None:
            return end
        await asyncio.sleep(max(0.0, (due - utc_now()).total_seconds()))
        sightings = tuple(await asyncio.gather(*(look() for look in looks)))
        watching, effects = watching.handle(AllLooked(at=utc_now(), sightings=sightings))


def _carried_out(effects: tuple[WatchEffect, ...], tell: Tell) -> tuple[datetime, OrderEnd | None]:
    """Return when to look next, and the end if this is it."""
    due, end = utc_now(), None
    for effect in effects:
        match effect:
            case LookAt(at=at):
                due = at
            case TellChecked(fact=fact):
                tell(fact)
            case Settle():
                end = effect.end
    return due, end


def _looks(order: Health, place: Place) -> list[Look]:
    checks = order.checks
    looks: list[Look] = []
    if checks.node is not None:
        looks.append(_bounded(NODE, checks.node.timeout_s, partial(_node, order.since, place)))
    if checks.etcd is not None:
        looks.append(_bounded(ETCD, checks.etcd.timeout_s, partial(_etcd, checks.etcd)))
    if checks.vault is not None:
        looks.append(_bounded(VAULT, checks.vault.timeout_s, partial(_vault, checks.vault)))
    looks += [partial(_command, check) for check in checks.commands]
    looks += [_bounded(f"http {one.url}", one.timeout_s, partial(look_at_url, one)) for one in checks.http]
    return looks


def _bounded(check: str, timeout_s: int, look: Look) -> Look:
    """Return `look` as one that always sees something, and never for longer than `timeout_s`."""

    async def bounded() -> Sighting:
        try:
            async with asyncio.timeout(timeout_s):
                return await look()
        except TimeoutError:
            return seen(check, [f"no answer within {timeout_s} s"], "")
        except (ClusterError, LookError) as error:
            return seen(check, [str(error)], "")

    return bounded


async def _node(since: datetime | None, place: Place) -> Sighting:
    if place.kubeconfig is None:
        return seen(NODE, [], "not looked at: no kubeconfig is configured")
    from wing.kubernetes import node_api  # noqa: PLC0415 - most looks at health need no Kubernetes client

    async with node_api(Path(place.kubeconfig), place.node) as api:
        return judged_node(await api.signs(), since)


async def _etcd(check: EtcdCheck) -> Sighting:
    return judged_etcd(await look_at_etcd(check), leaving=check.leaving)


async def _vault(check: VaultCheck) -> Sighting:
    return judged_vault(await look_at_vault(check))


async def _command(check: CommandCheck) -> Sighting:
    name = f"command {' '.join(check.command)}"
    ran = await site_command.run(check.command, timeout_s=check.timeout_s, cancel=asyncio.Event())
    return Sighting(check=name, passed=ran.ok, saw=ran.saw())


if __name__ == "__main__":
    sys.exit(main(carry_out))
