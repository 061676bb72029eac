"""A process is known by its number and its start; what is recorded of it survives whoever wrote it."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from orchestrator.infrastructure.local.errors import LocalError
from orchestrator.infrastructure.local.processes import (
    Identity,
    Record,
    groups_for,
    groups_found,
    make_groups,
    this_boot,
)

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="processes are read from Linux's /proc")


@pytest.fixture
def sleeper() -> Iterator["subprocess.Popen[bytes]"]:
    with subprocess.Popen(["sleep", "600"]) as process:
        yield process
        process.kill()


def identity(process: "subprocess.Popen[bytes]") -> Identity:
    found = Identity.of(process.pid)
    assert found is not None
    return found


def test_a_process_is_alive_until_it_ended(sleeper: "subprocess.Popen[bytes]") -> None:
    """One that was killed is not alive, also before its parent has asked for its end."""
    one = identity(sleeper)
    assert one.is_alive()
    assert not one.wait(0)
    os.kill(sleeper.pid, signal.SIGKILL)
    assert one.wait(60)
    assert not one.is_alive()
    sleeper.wait()
    assert one.wait(0)


def test_another_one_of_the_number(sleeper: "subprocess.Popen[bytes]") -> None:
    """A process of the same number that started at another time is another one."""
    one = replace(identity(sleeper), started=1)
    assert not one.is_alive()
    assert one.wait(0)


def test_a_record_is_read_again(tmp_path: Path, sleeper: "subprocess.Popen[bytes]") -> None:
    """Who comes later knows the process and its groups, and that it runs."""
    record = Record(groups=(tmp_path / "group",), boot=this_boot(), main=identity(sleeper))
    record.write(tmp_path / "process.json")
    assert Record.read(tmp_path / "process.json") == record
    assert record.is_running()


def test_a_record_of_another_boot(tmp_path: Path, sleeper: "subprocess.Popen[bytes]") -> None:
    """After this machine was rebooted nothing runs, whatever has the number now."""
    record = Record(groups=(tmp_path,), boot="another", main=identity(sleeper))
    assert not record.is_running()
    assert record.pids() == ()


def test_a_record_before_there_is_a_process(tmp_path: Path) -> None:
    """A crash before the start leaves a record without a process, which does not run."""
    record = Record(groups=(), boot=this_boot())
    record.write(tmp_path / "process.json")
    assert Record.read(tmp_path / "process.json") == record
    assert not record.is_running()
    assert record.leader() is None
    record.end()


def test_no_record_and_a_damaged_one(tmp_path: Path) -> None:
    """No record is none; one that can't be read is named, with what to see to."""
    file = tmp_path / "process.json"
    assert Record.read(file) is None
    file.write_text("{}")
    with pytest.raises(LocalError, match=r"is damaged.*remove it"):
        Record.read(file)


def test_the_end_of_all_in_a_group(tmp_path: Path) -> None:
    """Whatever is in a host's groups ends, and the groups that are not there any more are no error."""
    with subprocess.Popen(["sleep", "600"]) as one, subprocess.Popen(["sleep", "600"]) as other:
        group = tmp_path / "group"
        (group / "below").mkdir(parents=True)
        (group / "cgroup.procs").write_text(f"{one.pid}\n")
        (group / "below" / "cgroup.procs").write_text(f"{other.pid}\n")
        record = Record(groups=(group, tmp_path / "gone"), boot=this_boot())
        assert record.pids() == tuple(sorted((one.pid, other.pid)))
        with pytest.raises(LocalError, match="can't be removed"):
            record.end()  # a directory that is no control group holds files, and is not emptied by the kernel
        assert (one.wait(), other.wait()) == (-signal.SIGKILL, -signal.SIGKILL)


def test_groups_are_below_the_callers_own() -> None:
    """A host's groups are in hierarchies that this process is in, and called as the machine."""
    assert all(group.name == "tk0123456789" for group in groups_for("tk0123456789"))
    assert set(groups_found("tk0123456789")) == set(groups_for("tk0123456789"))


def test_a_cpuset_takes_processes(tmp_path: Path) -> None:
    """A new cpuset has its parent's processors and memory, without which it takes no process."""
    for name in ("cpuset.cpus", "cpuset.mems"):
        (tmp_path / name).write_text("0-1\n")
        (tmp_path / "new").mkdir(exist_ok=True)
        (tmp_path / "new" / name).write_text("\n")
    make_groups([tmp_path / "new"])
    assert (tmp_path / "new" / "cpuset.cpus").read_text() == "0-1\n"
