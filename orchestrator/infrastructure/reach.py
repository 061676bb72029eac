"""Hosts are reached over SSH by the system's own `ssh`, so that an operator's agent and habits go on working.

Host keys are always checked: the configuration that is given names the file of known hosts. Several commands
to one host share a connection. Whoever is not root there becomes it with `sudo -n`. Files go by way of ssh's
own input and output, however large they are, and are compared with their SHA-256.
"""

import asyncio
import contextlib
import hashlib
import os
import shlex
from asyncio.subprocess import DEVNULL, PIPE, STDOUT
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, BinaryIO, Final

from orchestrator.infrastructure.errors import ReachError
from orchestrator.infrastructure.hosts import Host
from puppet_bridge.atomic import appearing

Tell = Callable[[str], None]
LONGEST_LINE: Final = 1024 * 1024
SSH_FAILED: Final = 255
"""ssh's own exit code when it never came to the command."""
PUT: Final = (
    'umask 077; new="$1.new"; cat > "$new" && test "$(sha256sum < "$new")" = "$3  -" && chmod "$2" "$new"'
    ' && mv -f "$new" "$1" && exit; rm -f "$new"; echo "it did not arrive whole" >&2; exit 1'
)
"""Who is cut off in the middle leaves what looks like an end, so the content has to prove itself."""

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

    def last_words(self) -> str:
        """Return what it said last, as one line."""
        return "; ".join((self.err or self.out).strip().splitlines()[-3:])


class Ssh:
    """Runs commands on hosts; `config` is the ssh_config that says how each is reached by its name."""

    def __init__(self, config: Path) -> None:
        self._config = config

    async def run(
        self, host: Host, *words: str, stdin: bytes | BinaryIO = b"", stdout: BinaryIO | None = None
    ) -> Ran:
        """Run a command as root, without a shell's surprises; raises ReachError where it can't be begun.

        It may read from a file, and write into one: `out` is empty then.
        """
        text, given = (stdin, PIPE) if isinstance(stdin, bytes) else (None, stdin)
        command = self._as_root(host, words)
        async with self._ssh(host, command, stdin=given, stdout=stdout or PIPE, stderr=PIPE) as process:
            out, err = await process.communicate(text)
        ran = Ran(code=process.returncode or 0, out=_text(out), err=_text(err))
        if ran.code == SSH_FAILED or "a password is required" in ran.err:
            raise self._unreachable(host, ran.err)
        return ran

    async def do(
        self, host: Host, *words: str, stdin: bytes | BinaryIO = b"", stdout: BinaryIO | None = None
    ) -> str:
        """Run a command that has to succeed; returns what it said. Raises ReachError with its last words."""
        ran = await self.run(host, *words, stdin=stdin, stdout=stdout)
        if ran.code:
            what = f"{host.name}: `{shlex.join(words)[:120]}` ended with {ran.code}"
            raise ReachError(what=what, why=ran.last_words())
        return ran.out

    async def put(self, host: Host, content: bytes, path: str, *, mode: int = 0o644) -> None:
        """Write a file there, whole or not at all, readable by others only as `mode` says."""
        await self._put(host, content, path, mode=mode, sha256=hashlib.sha256(content).hexdigest())

    async def bring(self, host: Host, file: Path, path: str, *, mode: int = 0o644) -> bool:
        """Put a local file there unless it is the same already; returns whether it was brought."""
        sha256 = await asyncio.to_thread(sha256_of, file)
        ran = await self.run(host, "sha256sum", "--", path)
        if ran.code == 0 and _sum_in(ran.out) == sha256:
            return False
        await self.do(host, "mkdir", "-p", str(Path(path).parent))
        with file.open("rb") as content:
            await self._put(host, content, path, mode=mode, sha256=sha256)
        return True

    async def fetch(self, host: Host, path: str, file: Path, *, mode: int = 0o600) -> None:
        """Copy a file of the host's to `file`, which then is there as it is on the host, or not at all."""
        sha256 = _sum_in(await self.do(host, "sha256sum", "--", path))
        with appearing(file) as draft:
            os.fchmod(draft.out.fileno(), mode)
            await self.do(host, "cat", "--", path, stdout=draft.out)
            if await asyncio.to_thread(sha256_of, Path(draft.out.name)) != sha256:
                raise ReachError(what=f"{host.name}: {path} did not arrive whole", action="fetch it again")

    async def follow(self, host: Host, *words: str, tell: Tell) -> int:
        """Run a command as root and tell each of its lines as it comes; returns its exit code.

        Raises ReachError where it can't be begun, or the connection is lost.
        """
        said = ""
        command = f"{self._as_root(host, words)} 2>&1"  # there, where the order of the two is still known
        async with self._ssh(host, command, stdin=DEVNULL, stdout=PIPE, stderr=STDOUT) as process:
            if process.stdout is None:
                raise AssertionError("it was asked for")
            async for line in process.stdout:
                said = line.decode(errors="replace").rstrip()
                tell(said)
            code = await process.wait()
        if code == SSH_FAILED:
            raise self._unreachable(host, said)
        return code

    async def _put(self, host: Host, content: bytes | BinaryIO, path: str, *, mode: int, sha256: str) -> None:
        ran = await self.run(host, "sh", "-c", PUT, "sh", path, f"{mode:o}", sha256, stdin=content)
        if ran.code:
            raise ReachError(what=f"{host.name}: {path} can't be written", why=ran.last_words())

    @contextlib.asynccontextmanager
    async def _ssh(
        self, host: Host, command: str, *, stdin: int | IO[bytes], stdout: int | IO[bytes], stderr: int
    ) -> AsyncIterator[asyncio.subprocess.Process]:
        """Run ssh for as long as the block lasts: who is cancelled leaves no connection behind."""
        ssh = ("ssh", "-F", str(self._config), "-T", host.name, command)
        try:
            process = await asyncio.create_subprocess_exec(
                *ssh, stdin=stdin, stdout=stdout, stderr=stderr, limit=LONGEST_LINE
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


def sha256_of(file: Path) -> str:
    """Return the SHA-256 of a local file's content, in hexadecimal digits."""
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def _sum_in(said: str) -> str:
    """Return the sum in a line of sha256sum's, which begins with a backslash if the name is an odd one."""
    return said.removeprefix("\\").partition(" ")[0]


def _text(said: bytes | None) -> str:
    return (said or b"").decode(errors="replace")
