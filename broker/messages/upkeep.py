"""What an orchestrator may ask of a wing beside Puppet runs: to drain its Kubernetes Node, to look at health.

Such a piece of work is an *order*. It has an id of its own, as a run has, by which it can be cancelled, and
its own account of facts. `owner` is in whose name a Node is cordoned (a rollout's id, or a bare drain's), so
that nobody's cordon is ever lifted in another's name.
"""

from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from typing import Final

from broker import ids
from broker.ids import OrderId
from broker.messages.checks import not_negative, owner, positive

GRACE_OF_POD: Final = -1


class Drainer(Enum):
    """How an instance is emptied: by Kubernetes' evictions, by the site's own command, or not at all."""

    KUBERNETES = "kubernetes"
    COMMAND = "command"
    NONE = "none"


class OnTimeout(Enum):
    """What becomes of a drain whose time is over: lift our cordon again, keep it, or delete what is named."""

    UNCORDON = "uncordon"
    KEEP = "keep"
    DELETE = "delete"


@dataclass(frozen=True, slots=True, kw_only=True)
class DrainPolicy:
    """How to drain; the names and meanings are kubectl's, whose defaults differ where it says so.

    `drainer` None is what the wing is configured with. `grace_period_s` -1 is each pod's own. `skip_wait_s`
    (`--skip-wait-for-delete-timeout`) leaves pods that have been terminating for longer (0: waits for them).
    `critical` also evicts pods of the priority class system-node-critical. `disable_eviction` deletes, past
    every budget. `delete_selectors` are label selectors whose pods may be deleted when the time is over and
    `on_timeout` is `DELETE`.
    """

    drainer: Drainer | None = None
    timeout_s: int = 600
    ignore_daemonsets: bool = True
    delete_emptydir_data: bool = False
    force: bool = False
    grace_period_s: int = GRACE_OF_POD
    skip_wait_s: int = 0
    critical: bool = False
    disable_eviction: bool = False
    on_timeout: OnTimeout = OnTimeout.UNCORDON
    delete_selectors: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        positive("timeout_s", self.timeout_s)
        not_negative("skip_wait_s", self.skip_wait_s)
        if self.grace_period_s < GRACE_OF_POD:
            raise ValueError(f"grace_period_s: {self.grace_period_s} is less than -1 (the pod's own)")
        if self.on_timeout is OnTimeout.DELETE and not self.delete_selectors:
            raise ValueError("delete_selectors: empty, so that nothing could be deleted; name some")


@dataclass(frozen=True, slots=True, kw_only=True)
class Drain:
    """Cordon the instance's Node in the name of `owner`, and evict what may go, by the policy.

    A cordon in the name of `takes_over` (a rollout that has ended) becomes `owner`'s.
    """

    order: OrderId
    owner: str
    policy: DrainPolicy = field(default_factory=DrainPolicy)
    takes_over: str | None = None

    def __post_init__(self) -> None:
        ids.order_id(self.order)
        owner("owner", self.owner)
        if self.takes_over is not None:
            owner("takes_over", self.takes_over)


@dataclass(frozen=True, slots=True, kw_only=True)
class Uncordon:
    """Lift the cordon of the instance's Node if it is `owner`'s; another's, or none, is left as it is."""

    order: OrderId
    owner: str

    def __post_init__(self) -> None:
        ids.order_id(self.order)
        owner("owner", self.owner)


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeCheck:
    """The Kubernetes Node is Ready, and its Lease was renewed after `Health.since`.

    Ready stays true for 40 s after a kubelet's death (node-monitor-grace-period), the Lease does not.
    """

    timeout_s: int = 10

    def __post_init__(self) -> None:
        positive("timeout_s", self.timeout_s)


@dataclass(frozen=True, slots=True, kw_only=True)
class EtcdCheck:
    """The etcd member at `endpoint` is healthy and in the member list, and there is no alarm.

    The paths are of PEM files on the instance. With `leaving` the other members have to keep a quorum
    without this one, none of them a learner.
    """

    endpoint: str = "https://127.0.0.1:2379"
    ca: str | None = None
    certificate: str | None = None
    key: str | None = None
    leaving: bool = False
    timeout_s: int = 10

    def __post_init__(self) -> None:
        positive("timeout_s", self.timeout_s)


@dataclass(frozen=True, slots=True, kw_only=True)
class VaultCheck:
    """Vault at `endpoint` is initialised, unsealed, and knows a leader; `ca` is a path on the instance."""

    endpoint: str = "https://127.0.0.1:8200"
    ca: str | None = None
    timeout_s: int = 10

    def __post_init__(self) -> None:
        positive("timeout_s", self.timeout_s)


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandCheck:
    """The command (its words, no shell) ends with 0; its last words are what it saw."""

    command: tuple[str, ...]
    timeout_s: int = 30

    def __post_init__(self) -> None:
        positive("timeout_s", self.timeout_s)
        if not self.command:
            raise ValueError("command: empty")


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpCheck:
    """A GET of `url` from the instance is answered with `status`; `ca` is a path on the instance."""

    url: str
    status: int = 200
    ca: str | None = None
    timeout_s: int = 10

    def __post_init__(self) -> None:
        positive("timeout_s", self.timeout_s)
        if not self.url.startswith(("http://", "https://")):
            raise ValueError(f"url: {self.url[:80]!r} is neither http:// nor https://")


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthChecks:
    """What is looked at; all that is given must pass. Nothing given passes at once."""

    node: NodeCheck | None = None
    etcd: EtcdCheck | None = None
    vault: VaultCheck | None = None
    commands: tuple[CommandCheck, ...] = ()
    http: tuple[HttpCheck, ...] = ()

    def is_empty(self) -> bool:
        """Tell whether there is nothing to look at."""
        return not (self.node or self.etcd or self.vault or self.commands or self.http)


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """Look until all checks passed `passes` times in a row, every `interval_s`, for `timeout_s` at most.

    `since` is when the instance was changed last, None if it was not: older signs of life don't count.
    """

    order: OrderId
    checks: HealthChecks
    passes: int = 3
    interval_s: int = 2
    timeout_s: int = 300
    since: datetime | None = None

    def __post_init__(self) -> None:
        ids.order_id(self.order)
        positive("passes", self.passes)
        positive("interval_s", self.interval_s)
        positive("timeout_s", self.timeout_s)


OrderBody = Drain | Uncordon | Health
