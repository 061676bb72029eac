"""Machines made anew by `tarmak upgrade --replace`: one at a time, behind the gates of a rollout."""

import os
import subprocess
import sys

from tests.lab import account
from tests.lab.fleet import PATIENCE_S, Fleet, Said

NETWORK = "198.18.213"
WITHOUT = ("etcd", "master")
WORKERS = ("worker-1", "worker-2", "worker-3")


def replaced(fleet: Fleet, *words: str) -> Said:
    """Have machines made anew from where the operator sits."""
    done = subprocess.run(
        [
            *(sys.executable, "-m", "orchestrator.cli.main", "upgrade", str(fleet.file), "--replace"),
            *("--dir", str(fleet.home), "--canary-soak", "0", "--yes", *words),
        ],
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
        stdin=subprocess.DEVNULL,
        env={**os.environ, "NO_COLOR": "1"},
    )
    return Said(code=done.returncode, out=done.stdout, err=done.stderr)


def machine(fleet: Fleet, name: str) -> str:
    return fleet.host(name).run("cat", "/etc/machine-id")


def test_workers_are_made_anew_one_after_the_other(fleet: Fleet) -> None:
    """Each is another machine under its name that has proved the bundle; never are two away."""
    before = {name: machine(fleet, name) for name in WORKERS}
    done = replaced(fleet, "--role", "worker")
    assert done.code == 0, done.err
    assert not {machine(fleet, name) for name in WORKERS} & set(before.values())
    seen = fleet.instances()
    assert all((seen[name]["presence"], seen[name]["outcome"]) == ("online", "converged") for name in WORKERS)
    assert fleet.rollout()["state"] == "succeeded"
    account.check(fleet.events())
    assert "nothing to do" in fleet.cluster("plan", str(fleet.file)).out


def test_a_bastion_is_not_replaced_from_itself(fleet: Fleet) -> None:
    """It is refused before anything is drained."""
    refused = replaced(fleet, "--role", "bastion")
    assert (refused.code, "the bastion" in refused.err) == (2, True)
