"""Which bundle each selected instance is to have, and whether a person has to be asked first.

An operator who says `converge --all` means: each on what is desired of it. Where nothing is desired yet (a
new fleet, and a bundle that was just pushed) it is the newest bundle that is for the instance's role. To
take an instance that stands on one bundle to another may disturb what runs there, so that is confirmed;
a first converge, or proving again what was proved, is not.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from broker.ids import Digest, InstanceId
from orchestrator.cli.stop import Code, StopError
from orchestrator.domain.views import BundleView, InstanceView


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """Instances that take the same bundle; `chosen` are those for which it was picked, not desired."""

    digest: Digest
    instances: tuple[InstanceId, ...]
    chosen: tuple[InstanceId, ...] = ()


def shares(
    fleet: Sequence[InstanceView], bundles: Sequence[BundleView], digest: Digest | None
) -> tuple[Share, ...]:
    """Return who takes which bundle: `digest` if given; `bundles` are newest first."""
    if digest is not None:
        return (Share(digest=digest, instances=tuple(each.id for each in fleet)),)
    groups: dict[Digest, list[InstanceView]] = defaultdict(list)
    for instance in fleet:
        groups[instance.desired or _newest_for(instance, bundles)].append(instance)
    return tuple(
        Share(
            digest=meant,
            instances=tuple(each.id for each in group),
            chosen=tuple(each.id for each in group if each.desired is None),
        )
        for meant, group in groups.items()
    )


def disturbed(fleet: Iterable[InstanceView], parts: Iterable[Share]) -> tuple[InstanceId, ...]:
    """Return the instances that stand on one bundle and would be taken to another."""
    observed = {instance.id: instance.observed for instance in fleet}
    return tuple(
        each for share in parts for each in share.instances if observed.get(each) not in {None, share.digest}
    )


def _newest_for(instance: InstanceView, bundles: Sequence[BundleView]) -> Digest:
    for bundle in bundles:
        if not bundle.roles or instance.role in bundle.roles:
            return bundle.digest
    raise StopError(
        Code.FAILED,
        f"there is no bundle for {instance.id}",
        why=f"none is desired of it, and none of those pushed is for role {instance.role}",
        action="push one with `tarmak bundle push`, or name one with --bundle",
    )
