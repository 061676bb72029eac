"""Hosts are reached over SSH by the system's own `ssh`, so that an operator's agent and habits go on working.

Host keys are always checked: the configuration that is given names the file of known hosts. Several commands
to one host share a connection. Whoever is not root there becomes it with `sudo -n`.
"""

import asyncio
import contextlib
import hashlib
import shlex
from asyncio.subprocess import DEVNULL, PIPE, STDOUT
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from orchestrator.infrastructure.errors import ReachError
from orchestrator.infrastructure.hosts import Host

Tell = Callable[[str], None]
LONGEST_LINE: Final = 1024 * 1024
SSH_FAILED: Final = 255
"""ssh's own exit code when it never came to the command."""

HINTS: Final = {
    "Host key verification failed": "its host key is not the one that was recorded: find out why before"
    " you go on",
    "Permission denied": "put the cluster's public key into that user's authorized_keys",
    "Connection refused": "is sshd running there?",
    "a password is required": "let that user run sudo without a password",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """How a command on a host ended."""

    code: int
    out: str
    err: str


class Ssh:
    """Runs commands on hosts; `config` is the ssh_config that says how each is reached by its name."""

    def __init__(self, config: Path) -> None:
        self._config = config

    async def run(self, host: Host, *words: str, stdin: bytes = b"") -> Ran:
        """Run a command as root, without a shell's surprises; raises ReachError where it can't be begun."""
        async with self._ssh(host, self._as_root(host, words), stdin=PIPE, stderr=PIPE) as process:
            out, err = await process.communicate(stdin)
        ran = Ran(
            code=process.returncode or 0, out=out.decode(errors="replace"), err=err.decode(errors="replace")
        )
        if ran.code == SSH_FAILED or "a password is required" in ran.err:
            raise self._unreachable(host, ran.err)
        return ran

    async def do(self, host: Host, *words: str, stdin: bytes = b"") -> str:
        """Run a command that has to succeed; returns what it said. Raises ReachError with its last words."""
        ran = await self.run(host, *words, stdin=stdin)
        if ran.code:
            why = (ran.err or ran.out).strip().splitlines()[-3:]
            what = f"{host.name}: `{shlex.join(words)[:120]}` ended with {ran.code}"
            raise ReachError(what=what, why="; ".join(why))
        return ran.out

    async def put(self, host: Host, content: bytes, path: str, *, mode: int = 0o644) -> None:
        """Write a file there, whole or not at all, readable by others only as `mode` says."""
        script = 'umask 077 && cat > "$1.new" && chmod "$2" "$1.new" && mv -f "$1.new" "$1"'
        await self.do(host, "sh", "-c", script, "sh", path, f"{mode:o}", stdin=content)

    async def bring(self, host: Host, file: Path, path: str, *, mode: int = 0o644) -> bool:
        """Put a local file there unless it is the same already; returns whether it was brought."""
        content = await asyncio.to_thread(file.read_bytes)
        ran = await self.run(host, "sha256sum", "--", path)
        if ran.code == 0 and ran.out.split()[0] == hashlib.sha256(content).hexdigest():
            return False
        await self.do(host, "mkdir", "-p", str(Path(path).parent))
        await self.put(host, content, path, mode=mode)
        return True

    async def follow(self, host: Host, *words: str, tell: Tell) -> int:
        """Run a command as root and tell each of its lines as it comes; returns its exit code.

        Raises ReachError where it can't be begun, or the connection is lost.
        """
        said = ""
        command = f"{self._as_root(host, words)} 2>&1"  # there, where the order of the two is still known
        async with self._ssh(host, command, stdin=DEVNULL, stderr=STDOUT) as process:
            if process.stdout is None:
                raise AssertionError("it was asked for")
            async for line in process.stdout:
                said = line.decode(errors="replace").rstrip()
                tell(said)
            code = await process.wait()
        if code == SSH_FAILED:
            raise self._unreachable(host, said)
        return code

    @contextlib.asynccontextmanager
    async def _ssh(
        self, host: Host, command: str, *, stdin: int, stderr: int
    ) -> AsyncIterator[asyncio.subprocess.Process]:
        """Run ssh for as long as the block lasts: who is cancelled leaves no connection behind."""
        ssh = ("ssh", "-F", str(self._config), "-T", host.name, command)
        try:
            process = await asyncio.create_subprocess_exec(
                *ssh, stdin=stdin, stdout=PIPE, stderr=stderr, limit=LONGEST_LINE
            )
        except FileNotFoundError as error:
            action = "install the package openssh-client"
            raise ReachError(what="there is no `ssh` on this machine", action=action) from error
        try:
            yield process
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()

    def _as_root(self, host: Host, words: Sequence[str]) -> str:
        return shlex.join(words if host.user == "root" else ("sudo", "-n", "--", *words))

    def _unreachable(self, host: Host, said: str) -> ReachError:
        lines = [line for line in said.strip().splitlines() if not line.startswith(("@", "Warning"))]
        action = next((hint for sign, hint in HINTS.items() if sign in said), "")
        where = f"{host.user}@{host.address}:{host.port}"
        return ReachError(
            what=f"{host.name} can't be reached as {where}", why="; ".join(lines[-2:]), action=action
        )
