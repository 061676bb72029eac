"""A run's processes are ended, all of them and no other."""

import asyncio
import os
import subprocess
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from puppet_bridge.execution import ProcessIdentity
from puppet_bridge.processes import command_line, end_left_behind, end_tree, identify, is_alive, look

GONE = 2**22 + 1
TREE = "setsid sh -c 'echo $$; exec sleep 1000' & sleep 1000 & echo $!; wait; exec sleep 1000"
DEAF = "trap '' TERM; echo $$; while :; do sleep 1000; done"
ORPHAN = "sleep 1000 >/dev/null & echo $!"


@asynccontextmanager
async def shell(script: str, lines: int) -> AsyncIterator[tuple[Process, list[int]]]:
    """Run `script` in a session of its own, and give the numbers that it says."""
    child = await asyncio.create_subprocess_exec("sh", "-c", script, stdout=PIPE, start_new_session=True)
    assert child.stdout is not None
    try:
        yield child, [int(await child.stdout.readline()) for _ in range(lines)]
    finally:
        if child.returncode is None:
            child.kill()
        await child.wait()


def known(pid: int) -> ProcessIdentity:
    process = identify(pid)
    assert process is not None
    return process


async def test_ends_the_whole_tree() -> None:
    """A descendant that has left group and session is ended as well, and each is named."""
    async with shell(TREE, 2) as (child, pids):
        ended = await end_tree(known(child.pid))
        assert all(look(pid) is None for pid in pids)
        assert await child.wait() == -15
        assert {f"({pid})" for pid in pids} <= {words.split()[-1] for words in ended}


async def test_kills_what_does_not_listen() -> None:
    """A process that ignores TERM is killed after its grace."""
    async with shell(DEAF, 1) as (child, _):
        await end_tree(known(child.pid), grace_s=0.0)
        assert await child.wait() == -9


async def test_ends_the_orphans_of_a_dead_leader() -> None:
    """What a dead Puppet left in its group is found by the group."""
    async with shell(ORPHAN, 1) as (child, [orphan]):
        start = known(orphan).start - 1
        await child.wait()
        ended = await end_left_behind(child.pid, start, child.pid)
        assert [words.split()[-1] for words in ended] == [f"({orphan})"]
        assert look(orphan) is None


async def test_leaves_strangers_alone() -> None:
    """A process that has the number of a dead one by now is another: it lives on."""
    async with shell("echo $$; exec sleep 1000", 1) as (child, _):
        process = known(child.pid)
        stranger = replace(process, start=process.start - 1)
        assert is_alive(process)
        assert not is_alive(stranger)
        assert await end_left_behind(stranger.pid, stranger.start, stranger.group) == ()
        assert is_alive(process)


async def test_nothing_to_end() -> None:
    """A run whose processes are all gone leaves nothing to do."""
    assert await end_left_behind(GONE, 1, GONE) == ()
    assert (look(GONE), identify(GONE), command_line(GONE)) == (None, None, "")


def test_a_zombie_is_gone() -> None:
    """A process that has ended and was not waited for lives no more."""
    with subprocess.Popen(["true"]) as child:
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        assert look(child.pid) is None


def test_tells_itself() -> None:
    """A process is told by number, start and group."""
    own = known(os.getpid())
    assert own.group == os.getpgrp()
    assert is_alive(own)
    assert "pytest" in command_line(os.getpid()) or "python" in command_line(os.getpid())


@pytest.mark.parametrize("name", ["a b", "x) (y"])
async def test_odd_names(name: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Spaces and brackets in a process's name don't confuse its reading."""
    link = tmp_path_factory.mktemp("odd") / name
    link.symlink_to("/bin/sh")
    child = await asyncio.create_subprocess_exec("sh", "-c", "read -r _", executable=link, stdin=PIPE)
    try:
        seen = look(child.pid)
        assert seen is not None
        assert (seen.name, seen.parent) == (name, os.getpid())
    finally:
        child.kill()
        await child.wait()
