"""The fleet as its orchestrator sees it, asked by `tarmak` on the bastion, over SSH.

The orchestrator's socket is the bastion's own, and whoever is let in there by SSH may command: no door to the
network, and no key of an operator's, is needed for it.
"""

import asyncio
import json
import shlex
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from orchestrator.infrastructure.errors import InfrastructureError
from orchestrator.infrastructure.hosts import Host
from orchestrator.infrastructure.reach import Ssh
from orchestrator.infrastructure.release import OPT

TARMAK: Final = "/usr/local/bin/tarmak"
ORCHESTRATOR: Final = ("env", "PEX_SCRIPT=tarmak-orchestrator", TARMAK)
"""One zipapp holds both programs."""
LOOK_S: Final = 1.0
FAILED: Final = ("failed", "cancelled", "interrupted")


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """An instance: whether its wing is there, what it shall be, what it last proved, and how that ended."""

    id: str
    online: bool
    desired: str | None
    observed: str | None
    outcome: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One Puppet run of an instance."""

    id: str
    instance: str
    state: str
    changed: int
    total: int
    reason: str

    @property
    def failed(self) -> bool:
        """Whether it ended without doing what it was for."""
        return self.state in FAILED

    @property
    def ended(self) -> bool:
        """Whether it is over."""
        return self.failed or self.state == "succeeded"


@dataclass(frozen=True, slots=True, kw_only=True)
class Invitation:
    """The door by which a host may join once, and its token."""

    url: str
    token: str = field(repr=False)


class Fleet:
    """Speaks to the orchestrator on `bastion`. Everything raises ReachError with its last words."""

    def __init__(self, ssh: Ssh, bastion: Host) -> None:
        self._ssh = ssh
        self._bastion = bastion

    async def answers(self) -> bool:
        """Whether there is an orchestrator that lets us in."""
        ran = await self._ssh.run(self._bastion, TARMAK, "instances", "-o", "json")
        return ran.code == 0

    async def invite(self, host: Host, labels: Mapping[str, str]) -> Invitation:
        """Return with what this host may join once."""
        words = ["enrol", "token", "--instance", host.name, "--role", host.role, "--pool", host.pool]
        words += [word for key, value in sorted(labels.items()) for word in ("--label", f"{key}={value}")]
        # What runs on a host and asks itself does so by the loopback.
        words += [word for address in (host.address, "127.0.0.1") for word in ("--address", address)]
        made = json.loads(await self._do(*words, "-o", "json"))
        return Invitation(url=made["url"], token=made["token"])

    async def revoke(self, name: str) -> None:
        """Take an instance off the fleet."""
        await self._do("enrol", "revoke", name, "--yes")

    async def drain(self, name: str) -> None:
        """Empty an instance, as in a rollout."""
        await self._do("drain", name, "--yes")

    async def uncordon(self, name: str) -> None:
        """Let an instance take work again."""
        await self._do("uncordon", name)

    async def instances(self) -> dict[str, Seen]:
        """Return the instances, by name."""
        listed = json.loads(await self._do("instances", "-o", "json"))
        return {each["id"]: _seen(each) for each in listed}

    async def push(self, archive: Path) -> None:
        """Hand a bundle to the orchestrator."""
        there = f"{OPT}/{archive.name}"
        await self._ssh.bring(self._bastion, archive, there)
        try:
            await self._do("bundle", "push", there)
        finally:
            await self._ssh.run(self._bastion, "rm", "-f", there)

    async def converge(self, names: Sequence[str], digest: str | None = None) -> tuple[Run, ...]:
        """Ask instances to converge to a bundle (None: what they shall be), and return their runs."""
        if not names:
            return ()
        words = ["converge", "--instance", ",".join(names), "--yes", "--no-wait"]
        words += [] if digest is None else ["--bundle", digest]
        return tuple(_run(each) for each in json.loads(await self._do(*words, "-o", "json")))

    async def runs(self, asked: Sequence[Run]) -> tuple[Run, ...]:
        """Return how these runs are going."""
        ids = {run.id for run in asked}
        names = ",".join(sorted({run.instance for run in asked}))
        listed = json.loads(await self._do("run", "list", "--instance", names, "-o", "json"))
        return tuple(_run(each) for each in listed if each["id"] in ids)

    async def _do(self, *words: str) -> str:
        return await self._ssh.do(self._bastion, TARMAK, *words)


async def until(
    look: Callable[[], Awaitable[bool]],
    *,
    patience_s: float,
    late: Callable[[], Awaitable[InfrastructureError]],
) -> None:
    """Return once `look` is content; raises what `late` says if that takes longer than `patience_s`."""
    loop = asyncio.get_running_loop()
    ends = loop.time() + patience_s
    while not await look():
        if loop.time() > ends:
            raise await late()
        await asyncio.sleep(LOOK_S)


def on_the_bastion(bastion: Host, *words: str) -> str:
    """Return the command by which an operator says `tarmak WORDS` there."""
    return f"tarmak cluster ssh {bastion.name} -- tarmak {shlex.join(words)}"


def _seen(view: Mapping[str, Any]) -> Seen:
    return Seen(
        id=view["id"],
        online=view["presence"] == "online",
        desired=view["desired"],
        observed=view["observed"],
        outcome=view["outcome"],
        reason=view["reason"],
    )


def _run(view: Mapping[str, Any]) -> Run:
    return Run(
        id=view["id"],
        instance=view["instance"],
        state=view["state"],
        changed=view["changed"],
        total=view["total"],
        reason=view["reason"],
    )
