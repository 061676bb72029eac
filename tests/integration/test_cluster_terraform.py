"""Clusters by a real Terraform, on hosts that are directories: made, changed, ended, interrupted."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from orchestrator.infrastructure.changes import Action, Changes
from orchestrator.infrastructure.errors import (
    PlanStaleError,
    RefusedError,
    StateBrokenError,
    StateLockedError,
    StoppedError,
    TerraformError,
)
from orchestrator.infrastructure.progress import Output, Phase, Progress, Step
from orchestrator.infrastructure.unlocking import holder_of, unlock
from tests.integration.terraform_site import Site, described, terraform

ROOT = Path(__file__).parents[2]
LOCK = "6c83d0ac-0d1f-9e0c-e0f0-2c7a2f1c7f67"
HOLD = """
import fcntl, sys
file = open(sys.argv[1], "r+")
fcntl.lockf(file, fcntl.LOCK_EX)
print("held", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """An empty folder for a cluster."""
    return Site(folder=tmp_path, program=terraform())


def acts(changes: Changes) -> dict[str, Action]:
    return {change.instance: change.action for change in changes.instances}


def test_machines_are_made_as_described(site: Site) -> None:
    """A plan names each; an apply makes them with their addresses and names; then there is nothing to do."""
    work = site.work(described(workers=2))
    changes = work.plan()
    assert acts(changes) == dict.fromkeys(("bastion-1", "etcd-1", "worker-1", "worker-2"), Action.CREATE)
    assert site.calls() == []
    hosts = work.apply(changes)
    assert [(host.name, host.role, host.address) for host in hosts] == [
        ("bastion-1", "bastion", "198.18.4.10"),
        ("etcd-1", "etcd", "198.18.4.11"),
        ("worker-1", "worker", "198.18.4.12"),
        ("worker-2", "worker", "198.18.4.13"),
    ]
    assert not work.plan().pending


def test_a_host_program_is_told_all_that_it_needs(site: Site) -> None:
    """Its description comes as JSON in its environment, with all names and the key that it shall let in."""
    site.applied(described())
    told = {name: table for _, name, table in site.descriptions()}["worker-1"]
    assert told == {
        "cluster": "shop",
        "name": "worker-1",
        "role": "worker",
        "pool": "worker",
        "address": "198.18.4.12/24",
        "gateway": "198.18.4.1",
        "hosts": [["198.18.4.10", "bastion-1"], ["198.18.4.11", "etcd-1"], ["198.18.4.12", "worker-1"]],
        "home": str(site.home.path),
        "authorized_keys": [site.home.key.with_suffix(".pub").read_text().strip()],
        "size": "medium",
        "labels": {},
    }


def test_hosts_are_reached_by_their_own_keys(site: Site) -> None:
    """After an apply ssh's files know each host and its key, and are for their owner alone."""
    site.applied(described())
    assert "etcd-1 ssh-ed25519 AAAAetcd-1\n" in site.home.known_hosts.read_text()
    said = subprocess.run(
        ["ssh", "-F", site.home.ssh_config, "-G", "etcd-1"], capture_output=True, text=True, check=True
    ).stdout.splitlines()
    assert {"hostname 198.18.4.11", "user root", "stricthostkeychecking true"} <= set(said)
    assert f"identityfile {site.home.key}" in said
    assert {
        file.stat().st_mode & 0o077 for file in (site.home.path, site.home.key, site.home.ssh_config)
    } == {0}


def test_what_is_added_moves_nobody(site: Site) -> None:
    """A pool that grows in the file's middle makes its own instance; the others only learn of its name."""
    site.applied(described())
    site.calls()
    work = site.work(described(etcd=2))
    changes = work.plan()
    others = dict.fromkeys(("bastion-1", "etcd-1", "worker-1"), Action.START)
    assert acts(changes) == {**others, "etcd-2": Action.CREATE}
    work.apply(changes)
    told = {name: table for _, name, table in site.descriptions()}
    assert told["bastion-1"]["hosts"][2] == ["198.18.4.13", "etcd-2"]
    assert {host.name: host.address for host in work.hosts()}["worker-1"] == "198.18.4.12"


def test_another_size_is_another_machine(site: Site) -> None:
    """It is ended and made anew, with the reason in the plan; so is one that was asked for by name."""
    work = site.applied(described(size="small"))
    site.calls()
    changes = site.work(described(size="large")).plan()
    assert [(one.instance, one.action, one.reason) for one in changes.instances] == [
        ("etcd-1", Action.REPLACE, "size: small → large")
    ]
    changes = work.plan(replace=["worker-1"])
    assert [(one.instance, one.reason) for one in changes.instances] == [("worker-1", "asked for")]
    work.apply(changes)
    assert site.calls() == [("down", "worker-1"), ("up", "worker-1")]


def test_a_stateful_instance_is_replaced_by_name_only(site: Site) -> None:
    """Nothing is done to anybody until its name is given."""
    site.applied(described(size="small"))
    site.calls()
    work = site.work(described(size="large", workers=2))
    changes = work.plan()
    with pytest.raises(RefusedError, match=r"etcd-1 \(etcd, replace\).*--destroy-stateful etcd-1"):
        work.apply(changes, confirmed=["worker-1"])
    assert site.calls() == []
    work.apply(changes, confirmed=["etcd-1"])
    assert [call for call in site.calls() if call[1] == "etcd-1"] == [("down", "etcd-1"), ("up", "etcd-1")]


def test_a_role_in_the_file_protects_nothing_less(site: Site) -> None:
    """Who was made as etcd is stateful, whatever the file calls it now."""
    site.applied(described())
    changes = site.work(described(role="worker")).plan()
    assert [(one.instance, one.role) for one in changes.losing()] == [("etcd-1", "etcd")]


def test_an_end_asks_for_each_stateful_one_and_leaves_nothing(site: Site) -> None:
    """`destroy` is refused without the names; with them no host and no file is left."""
    work = site.applied(described(etcd=2))
    changes = work.plan_end()
    with pytest.raises(RefusedError, match="etcd-2"):
        work.end(changes, confirmed=["etcd-1"])
    site.calls()
    work.end(changes, confirmed=["etcd-1", "etcd-2"])
    assert sorted(site.calls()) == [("down", name) for name in ("bastion-1", "etcd-1", "etcd-2", "worker-1")]
    assert not site.home.path.exists()


def test_a_making_that_fails_is_gone_on_with(site: Site) -> None:
    """The error has the program's last word; the next apply starts that host, and ends none."""
    (site.folder / "fail-etcd-1").write_text("no space left on this machine")
    work = site.work(described())
    with pytest.raises(TerraformError, match=r"etcd-1.*: no space left on this machine"):
        work.apply(work.plan())
    (site.folder / "fail-etcd-1").unlink()
    site.calls()
    changes = work.plan()
    started = {one.instance: (one.action, one.reason) for one in changes.instances}
    assert started["etcd-1"] == (Action.START, "it did not start")
    assert not changes.losing()
    work.apply(changes)
    assert "down" not in [word for word, _ in site.calls()]
    assert not work.plan().pending


def test_a_host_that_does_not_run_is_started_again(site: Site) -> None:
    """After this machine's reboot a plan finds out, and an apply starts what is down, with its disk."""
    work = site.applied(described())
    (site.home.path / "hosts/etcd-1/running").unlink()
    site.calls()
    changes = work.plan()
    assert [(one.instance, one.action, one.reason) for one in changes.instances] == [
        ("etcd-1", Action.START, "it does not run")
    ]
    work.apply(changes)
    assert site.calls() == [("up", "etcd-1")]


def interrupt(times: int, site: Site) -> None:
    """Have Ctrl-C come once a host hangs in its making, and again while Terraform stops."""

    def listen(progress: Progress) -> None:
        if isinstance(progress, Output) and progress.line.endswith("hangs"):
            for _ in range(times):
                signal.raise_signal(signal.SIGINT)

    site.listener = listen


@pytest.mark.parametrize("times", [1, 3], ids=["waited for", "killed"])
def test_an_interrupted_apply_is_gone_on_with(site: Site, times: int) -> None:
    """Terraform stops; the next apply goes on from what there is, and nothing is ended for it."""
    (site.folder / "hang-worker-1").touch()
    interrupt(times, site)
    work = site.work(described())
    with pytest.raises(StoppedError, match="apply again"):
        work.apply(work.plan())
    site.listener = None
    if times > 1:  # nobody was left to end it
        os.kill(int((site.folder / "pid").read_text()), signal.SIGKILL)
    (site.folder / "hang-worker-1").unlink()
    site.calls()
    work.apply(work.plan())
    assert ("down", "worker-1") not in site.calls()
    assert not work.plan().pending


def test_one_interrupt_ends_the_program_too(site: Site) -> None:
    """Terraform that is waited for leaves no host program behind, and has recorded what was made."""
    (site.folder / "hang-worker-1").touch()
    interrupt(1, site)
    work = site.work(described())
    with pytest.raises(StoppedError, match="is recorded"):
        work.apply(work.plan())
    assert not Path("/proc", (site.folder / "pid").read_text()).exists()
    assert {"bastion-1", "etcd-1", "worker-1"} == {each["name"] for each in work.terraform.state().made}


APPLY = """
import sys
from pathlib import Path
from orchestrator.infrastructure.errors import StoppedError
from orchestrator.infrastructure.progress import Output
from tests.integration.terraform_site import Site, described, terraform

def tell(progress):
    if isinstance(progress, Output) and progress.line.endswith("hangs"):
        print("hangs", flush=True)

work = Site(folder=Path(sys.argv[1]), program=terraform(), listener=tell).work(described())
try:
    work.apply(work.plan())
except StoppedError as error:
    print(error.why, flush=True)
"""


def test_a_terminals_interrupt_reaches_terraform_once(site: Site) -> None:
    """Ctrl-C goes to a whole process group: Terraform must not hear of it twice, and end at once."""
    (site.folder / "hang-worker-1").touch()
    words = (sys.executable, "-c", APPLY, str(site.folder))
    with subprocess.Popen(
        words, cwd=ROOT, stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as foreground:
        assert foreground.stdout is not None
        assert foreground.stdout.readline() == "hangs\n"
        os.killpg(foreground.pid, signal.SIGINT)
        assert foreground.stdout.read() == "what was done until then is recorded\n"
    assert not Path("/proc", (site.folder / "pid").read_text()).exists()
    assert len(site.work(described()).terraform.state().made) == 3


def test_a_held_state_names_its_holder(site: Site) -> None:
    """An apply says who has it since when; unlocking is refused as long as that process lives."""
    work = site.applied(described())
    words = (sys.executable, "-c", HOLD, str(site.home.state))
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        site.home.lock_info.write_text(json.dumps(lock_info()))
        with pytest.raises(
            StateLockedError, match=r"ada@desk.*2026-11-25 07:00:00.*apply.*unlock 6c83"
        ) as told:
            work.plan(replace=["worker-1"])
        assert (told.value.lock, holder_of(site.home)) == (LOCK, holder.pid)
        with pytest.raises(Exception, match=f"held by process {holder.pid}.*kill -INT {holder.pid}"):
            unlock(site.home, LOCK)
    with pytest.raises(Exception, match=f"the lock on this state is {LOCK}, not another"):
        unlock(site.home, "another")
    assert "is gone" in unlock(site.home, LOCK)
    assert unlock(site.home, LOCK) == "nothing is locked"
    work.plan()


def lock_info() -> dict[str, str]:
    """Return what a Terraform that has a state writes beside it."""
    return {
        "ID": LOCK,
        "Operation": "OperationTypeApply",
        "Info": "",
        "Who": "ada@desk",
        "Version": "1.11.4",
        "Created": "2026-11-25T07:00:00.5Z",
        "Path": "terraform.tfstate",
    }


def test_a_plan_is_applied_as_it_was_shown_or_not_at_all(site: Site) -> None:
    """It is refused once the file says something else, and once the state does."""
    work = site.work(described())
    work.plan()
    assert acts(work.saved())["worker-1"] is Action.CREATE
    with pytest.raises(PlanStaleError, match="the description has changed"):
        site.work(described(workers=2)).saved()
    kept = [(file, file.read_bytes()) for file in (site.home.plan, site.home.planned)]
    work.apply(work.saved())
    with pytest.raises(PlanStaleError, match="it was applied"):
        work.saved()
    for file, content in kept:
        file.write_bytes(content)
    with pytest.raises(PlanStaleError, match="what there is has changed"):
        work.apply(work.saved())


def test_a_state_that_cannot_be_read_names_its_backup(site: Site) -> None:
    """Put back, it is worked with as before."""
    work = site.applied(described())
    whole = site.home.state.read_bytes()
    site.home.state.write_bytes(whole[:200])
    with pytest.raises(
        StateBrokenError, match=r"terraform\.tfstate can't be read.*terraform\.tfstate\.backup"
    ):
        work.plan()
    site.home.state.write_bytes(whole)
    assert not work.plan().pending


def test_progress_is_told_by_instance(site: Site) -> None:
    """Each step of each instance is told as it happens."""
    site.applied(described())
    steps = [
        one for one in site.heard if isinstance(one, Step) and one.resource.startswith("terraform_data.up")
    ]
    told = [step.phase for step in steps if step.instance == "worker-1"]
    assert told == [Phase.BEGUN, Phase.DONE]


def test_nobody_has_to_listen(site: Site) -> None:
    """Whoever reads the progress may go away (`| head`): all is made and recorded nevertheless."""

    def gone(_: Progress) -> None:
        raise BrokenPipeError

    site.listener = gone
    assert not site.applied(described()).plan().pending


def test_the_names_of_the_description_are_no_templates(site: Site) -> None:
    """What looks like Terraform's own syntax arrives as it was written."""
    site.applied(described(labels={"zone": "${path.cwd} %{if} $${x}"}))
    told = {name: table for _, name, table in site.descriptions()}["etcd-1"]
    assert told["labels"] == {"zone": "${path.cwd} %{if} $${x}"}


def test_an_operators_own_terraform_settings_change_nothing(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another workspace, data directory or added arguments are for configurations of their own."""
    for name, value in {"TF_WORKSPACE": "other", "TF_DATA_DIR": "/nowhere", "TF_CLI_ARGS": "-bad"}.items():
        monkeypatch.setenv(name, value)
    assert not site.applied(described()).plan().pending


def test_a_destroy_that_fails_says_how_to_forget_the_machine(site: Site) -> None:
    """Whoever was ended is recorded; the rest can be ended by the next one."""
    work = site.applied(described())
    changes = work.plan_end()
    shutil.move(site.home.path / "hosts", site.folder / "away")  # its program finds nothing to end
    with pytest.raises(TerraformError, match=r"could not destroy.*state rm 'terraform_data\.host"):
        work.end(changes, confirmed=["etcd-1"])
    shutil.move(site.folder / "away", site.home.path / "hosts")
    work.end(work.plan_end(), confirmed=["etcd-1"])
    assert not site.home.path.exists()
