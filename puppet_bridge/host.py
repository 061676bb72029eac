"""What an execution needs of its host before it can begin: Puppet, its lock's path, modules, directories."""

import asyncio
import json
import os
import shutil
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Final

from puppet_bridge.cache import declared_host_modules
from puppet_bridge.command import PATH, Places, directories, environment
from puppet_bridge.errors import HostModuleError, PuppetMissingError
from puppet_bridge.execution import Identity, Order

SHELL: Final = Path("/bin/sh")
KEPT: Final = 10
LAST_WORDS: Final = 4096


def find(executable: str) -> str:
    """Return the path of Puppet; raises PuppetMissingError."""
    path = shutil.which(executable, path=PATH)
    if path is None:
        raise PuppetMissingError(executable=executable, reason=f"not found in {PATH}")
    return path


async def host_lock(executable: str) -> Path:
    """Return the path of the lock that this host's Puppet agent takes; raises PuppetMissingError."""
    home = Path(os.environ.get("HOME", "/"))
    child = await asyncio.create_subprocess_exec(
        *(executable, "config", "print", "agent_catalog_run_lockfile", "--section", "agent"),
        stdin=DEVNULL,
        stdout=PIPE,
        stderr=PIPE,
        env=environment(home),
    )
    said, complaint = await child.communicate()
    path = said.decode(errors="replace").strip()
    if child.returncode != 0 or not path.startswith("/"):
        words = complaint.decode(errors="replace").strip()[-LAST_WORDS:]
        raise PuppetMissingError(executable=executable, reason=f"does not say where its lock is: {words}")
    return Path(path)


def host_modules(bundle: Path, looked_in: Sequence[Path]) -> tuple[Path, ...]:
    """Return the module path that the bundle needs of the host; raises HostModuleError, ManifestError.

    It is empty unless the bundle declares `host_modules`: what is on a host by chance must not change
    what a bundle means.
    """
    declared = declared_host_modules(bundle)
    missing = [name for name in declared if not any((path / name).is_dir() for path in looked_in)]
    if missing:
        raise HostModuleError(modules=missing, looked_in=[str(path) for path in looked_in])
    return tuple(path for path in looked_in if path.is_dir()) if declared else ()


def prepare(state: Path, order: Order, instance: Identity) -> Places:
    """Return the places of an execution, made fresh: nothing that is found there later is older."""
    executions = state / "executions"
    places = Places(own=executions / f"{order.run}-{order.number}", state=state)
    executions.mkdir(parents=True, exist_ok=True)
    state.chmod(0o700)
    shutil.rmtree(places.own, ignore_errors=True)
    for path in directories(places):
        path.mkdir(parents=True, exist_ok=True)
    _prune(executions, places.own)
    facts = places.facts / "tarmak.json"
    facts.write_text(json.dumps({"tarmak": asdict(instance)}, sort_keys=True))
    if not places.gate.is_symlink():
        places.gate.symlink_to(SHELL)
    return places


def last_words(console: Path) -> str:
    """Return the end of what was said outside the log, such as a Ruby that could not start."""
    with console.open("rb") as said:
        size = said.seek(0, os.SEEK_END)
        said.seek(max(0, size - LAST_WORDS))
        return said.read().decode(errors="replace").strip()


def _prune(executions: Path, current: Path) -> None:
    """Keep the ten newest executions for a person who looks on the host itself."""
    others = sorted(
        (path for path in executions.iterdir() if path != current),
        key=lambda path: path.stat().st_mtime,
        reverse=True,
    )
    for path in others[KEPT - 1 :]:
        shutil.rmtree(path)
