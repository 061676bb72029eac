"""Takes a cluster's etcd back to a snapshot: all members at once, or none.

A member that was restored never speaks to one that was not. So nothing is begun before every member can be
reached and has the very same file, and each restore has a mark of its own: without it, members that are
restored again from the same snapshot would let in what one that is not yet stopped still knows.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

from orchestrator.infrastructure.errors import InfrastructureError, ReachError, RestoreError
from orchestrator.infrastructure.etcd_members import LACKING, PROGRAMS, Members
from orchestrator.infrastructure.hosts import Host
from orchestrator.infrastructure.reach import Tell, sha256_of

CHECK: Final = f"""folder=$1
shift
for program in "$@"; do
    test -x "$folder/$program" || {{ echo "$program"; exit {LACKING}; }}
done
"""
HEALTHY_S: Final = 120
"""How long a member may take to find the others and to answer."""


class Restoring:
    """Restores the members, with a `mark` that no other restore of them has had."""

    def __init__(self, members: Members, tell: Tell, *, mark: str) -> None:
        self._members = members
        self._tell = tell
        self._mark = mark

    @property
    def names(self) -> tuple[str, ...]:
        """The members."""
        return tuple(host.name for host in self._members.hosts)

    async def check(self) -> None:
        """Return if each member can be reached and restored, for all that is known; raises ReachError."""

        async def look(host: Host) -> None:
            await self._members.script(host, CHECK, self._members.places.programs, *PROGRAMS)

        for error in (await self._members.each(look)).values():
            raise error

    async def restore(self, file: Path) -> None:
        """Return when every member has its data from `file` and is well; raises RestoreError."""
        path = f"{self._members.places.snapshots}/restore/{sha256_of(file)[:16]}.db"
        await self._bring(file, path)
        await self._restore(path)
        await self._wait()
        await self._clean(path)

    async def _bring(self, file: Path, path: str) -> None:
        async def bring(host: Host) -> None:
            await self._members.ssh.bring(host, file, path, mode=0o600)
            self._tell(f"{host.name} has the snapshot")

        failed = await self._members.each(bring)
        if failed:
            what = f"{_names(failed)} did not get the snapshot; no member was restored"
            raise RestoreError(failed=tuple(failed), what=what, why=_words(failed), action="mend that first")

    async def _restore(self, path: str) -> None:
        async def restore(host: Host) -> None:
            said = [""]

            def hear(line: str) -> None:
                said.append(line)
                self._tell(f"{host.name}: {line}")

            program = f"{self._members.places.programs}/restore"
            if await self._members.ssh.follow(host, program, path, self._mark, tell=hear):
                raise ReachError(what=f"{host.name} was not restored", why=said[-1])

        failed = await self._members.each(restore)
        if failed:
            others = [host.name for host in self._members.hosts if host.name not in failed]
            those = f"and {_names(others)}, restored, won't speak to it" if others else "no member was"
            raise RestoreError(
                failed=tuple(failed),
                what=f"{_names(failed)} {'was' if len(failed) == 1 else 'were'} not restored; {those}",
                why=_words(failed),
                action="mend that, and restore all of them again with this same command",
            )

    async def _wait(self) -> None:
        async def wait(host: Host) -> None:
            program = f"{self._members.places.programs}/healthy"
            ran = await self._members.ssh.run(host, program, str(HEALTHY_S))
            if ran.code:
                raise ReachError(what=f"{host.name} is not well", why=ran.last_words())
            self._tell(f"{host.name} is well")

        failed = await self._members.each(wait)
        if failed:
            raise RestoreError(
                failed=tuple(failed),
                what=f"every member was restored, and {_names(failed)} did not become well",
                why=_words(failed),
                action=f"see `tarmak cluster logs {next(iter(failed))} --unit etcd`",
            )

    async def _clean(self, path: str) -> None:
        async def clean(host: Host) -> None:
            await self._members.ssh.do(host, "rm", "-f", "--", path)

        for error in (await self._members.each(clean)).values():
            self._tell(str(error))


def _names(names: Iterable[str]) -> str:
    return ", ".join(names)


def _words(failed: Mapping[str, InfrastructureError]) -> str:
    return "; ".join(f"{name}: {error.why or error.what}" for name, error in failed.items())
