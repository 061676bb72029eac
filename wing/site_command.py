"""The site's own commands: run without a shell, in a clean environment, and never for longer than agreed.

What a command says goes to a file, not a pipe: something that it leaves in the background would keep a pipe
open for ever.
"""

import asyncio
import contextlib
import os
import tempfile
from asyncio.subprocess import DEVNULL, Process
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import BinaryIO, Final

from puppet_bridge.children import PASSED_ON
from puppet_bridge.processes import end_tree, identify

LAST_WORDS: Final = 8_000
"""In bytes, of what a command said."""

NOT_STARTED: Final = 127


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """How a command ended: its exit code (None: it was ended by us), and the last of what it said."""

    code: int | None
    output: str
    reason: str = ""

    @property
    def ok(self) -> bool:
        """Whether it did what it is for."""
        return self.code == 0

    def saw(self) -> str:
        """Return how it ended and its last line, for a person."""
        last = next((line for line in reversed(self.output.splitlines()) if line.strip()), "")
        how = self.reason or f"ended with {self.code}"
        return f"{how}: {last.strip()}" if last else how


async def run(
    words: Sequence[str],
    *,
    timeout_s: float,
    cancel: asyncio.Event,
    variables: Mapping[str, str] | None = None,
) -> Ran:
    """Run `words` to their end; once the time is over or `cancel` is set, end all that they started."""
    with tempfile.TemporaryFile() as said:
        try:
            process = await asyncio.create_subprocess_exec(
                *words, stdin=DEVNULL, stdout=said, stderr=said, process_group=0, env=_environment(variables)
            )
        except OSError as error:
            return Ran(code=NOT_STARTED, output="", reason=f"can't be started: {error.strerror or error}")
        try:
            reason = await _watched(process, timeout_s, cancel)
        finally:
            await _ended(process)
        return Ran(code=None if reason else process.returncode, output=_last_words(said), reason=reason)


async def _watched(process: Process, timeout_s: float, cancel: asyncio.Event) -> str:
    """Return why the command has to be ended, an empty reason if it ended by itself."""
    async with asyncio.TaskGroup() as tasks:
        ending = tasks.create_task(process.wait(), name="wing.command")
        watching = tasks.create_task(cancel.wait(), name="wing.command.cancel")
        await asyncio.wait({ending, watching}, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
        done = ending.done()
        ending.cancel()
        watching.cancel()
    if done:
        return ""
    return "ended, since nobody wants it any more" if cancel.is_set() else f"not done within {timeout_s:g} s"


async def _ended(process: Process) -> None:
    if process.returncode is not None:
        return
    identity = identify(process.pid)
    if identity is not None:
        await end_tree(identity)
    with contextlib.suppress(ProcessLookupError):
        process.kill()
    await process.wait()


def _environment(variables: Mapping[str, str] | None) -> dict[str, str]:
    passed = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
    return {**passed, "LANG": "C.UTF-8", **(variables or {})}


def _last_words(said: BinaryIO) -> str:
    size = said.seek(0, os.SEEK_END)
    said.seek(max(0, size - LAST_WORDS))
    return said.read().decode("utf-8", "replace").strip()
