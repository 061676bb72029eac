"""A whole cluster in the lab, made as an operator makes it: by `tarmak cluster apply` on the example."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from orchestrator.infrastructure.local.faults import Host, Lab
from tests.lab.writes import Etcd, Writer

ROOT: Final = Path(__file__).parents[2]
EXAMPLE: Final = ROOT / "deploy/lab/cluster.yaml"
TARMAK: Final = (sys.executable, "-m", "orchestrator.cli.main", "cluster")
NEW: Final = "3.5.16-4"
ETCD: Final = ("etcd-1", "etcd-2", "etcd-3")
PATIENCE_S: Final = 900.0


class LateError(AssertionError):
    """Something did not come about."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """How a command ended."""

    code: int
    out: str
    err: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Fleet:
    """The cluster in `home`, described by `file` `without` some pools; `network` is its first three bytes."""

    home: Path
    file: Path
    network: str
    without: Sequence[str] = ()
    bastion: str = "bastion-1"

    @property
    def lab(self) -> Lab:
        return Lab.at(self.home)

    def host(self, name: str) -> Host:
        return self.lab.host(name)

    # The operator -------------------------------------------------------------------------------------------

    def describe(self, *, workers: int | None = None, **versions: str) -> None:
        """Write the shipped description, with this cluster's network, pools and versions."""
        shipped = yaml.safe_load(EXAMPLE.read_text())
        pools = [pool for pool in shipped["pools"] if pool["name"] not in self.without]
        for pool in pools:
            pool["count"] = workers if workers and pool["name"] == "worker" else pool.get("count", 1)
        own = {
            "network": {"cidr": f"{self.network}.0/24"},
            "bundle": str(ROOT / "deploy/puppet"),
            "versions": shipped["versions"] | versions,
            "pools": pools,
        }
        self.file.write_text(yaml.safe_dump(shipped | own))

    def cluster(self, *words: str, timeout_s: float = PATIENCE_S) -> Said:
        """Give a command of `tarmak cluster` for this cluster."""
        end = words.index("--") if "--" in words else len(words)
        done = subprocess.run(
            [*TARMAK, *words[:end], "--dir", str(self.home), *words[end:]],
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
            stdin=subprocess.DEVNULL,
            env={**os.environ, "NO_COLOR": "1"},
        )
        return Said(code=done.returncode, out=done.stdout, err=done.stderr)

    def apply(self, *words: str) -> Said:
        done = self.cluster("apply", str(self.file), "--yes", *words)
        assert done.code == 0, done.err
        return done

    def destroy(self) -> Said:
        lost = [word for name in ETCD for word in ("--destroy-stateful", name)]
        return self.cluster("destroy", "--yes", *lost)

    def replaced(self, *words: str) -> Said:
        """Have machines made anew from where the operator sits."""
        done = subprocess.run(
            [
                *(*TARMAK[:-1], "upgrade", str(self.file), "--replace", "--dir", str(self.home)),
                *("--canary-soak", "0", "--yes", *words),
            ],
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
            stdin=subprocess.DEVNULL,
            env={**os.environ, "NO_COLOR": "1"},
        )
        return Said(code=done.returncode, out=done.stdout, err=done.stderr)

    def ssh(self, name: str, *command: str, timeout_s: float = PATIENCE_S) -> Said:
        """Run a command on a host as an operator does."""
        words = ["ssh", "-F", str(self.home / "ssh_config"), name, *command]
        done = subprocess.run(words, capture_output=True, text=True, timeout=timeout_s, check=False)
        return Said(code=done.returncode, out=done.stdout, err=done.stderr)

    def tarmak(self, *words: str) -> Said:
        """Give a command to the orchestrator."""
        return self.ssh(self.bastion, "tarmak", *words)

    def json(self, *words: str) -> Any:
        done = self.tarmak(*words, "-o", "json")
        assert done.code == 0, done.err
        return json.loads(done.out)

    # What is there ------------------------------------------------------------------------------------------

    def instances(self) -> dict[str, Any]:
        return {each["id"]: each for each in self.json("instances")}

    def digest(self) -> str:
        """Return the bundle that was handed over last."""
        return str(self.json("bundle", "list")[0]["digest"])

    def rollout(self) -> Any:
        return self.json("rollout", "show")

    def step(self, name: str) -> str:
        """Return how far the rollout is with an instance."""
        return str(next(each["state"] for each in self.rollout()["steps"] if each["instance"] == name))

    def events(self) -> Sequence[Mapping[str, Any]]:
        done = self.tarmak("events", "-o", "jsonl")
        assert done.code == 0, done.err
        return [json.loads(line) for line in done.out.splitlines()]

    def until(self, what: str, look: Callable[[], object], *, patience_s: float = PATIENCE_S) -> None:
        """Wait for something; what can't be seen for a while (a bastion that boots) is not there yet."""
        ends, trouble = time.monotonic() + patience_s, ""
        while time.monotonic() < ends:
            try:
                if look():
                    return
                trouble = ""
            except AssertionError as error:
                trouble = str(error)
        raise LateError(f"{what}: not within {patience_s:g} s {trouble}")

    # etcd ---------------------------------------------------------------------------------------------------

    def etcd(self) -> Etcd:
        """Return the members as a client with a wing's certificate sees them."""
        for name in ("ca.pem", "wing.pem", "wing.key"):
            file = self.home.parent / f"client.{name}"
            file.write_text(self.host(self.bastion).run("cat", f"/etc/tarmak/{name}"))
        folder = self.home.parent
        return Etcd(
            [self.address(name) for name in ETCD],
            ca=folder / "client.ca.pem",
            certificate=folder / "client.wing.pem",
            key=folder / "client.wing.key",
        )

    def address(self, name: str) -> str:
        hosts = json.loads(self.cluster("instances", "-o", "json").out)
        return str(next(each["address"] for each in hosts if each["name"] == name))

    def upgrade_etcd(self, version: str, *words: str) -> Said:
        """Hand over the bundle with another etcd, and have it rolled out."""
        self.describe(etcd=version)
        self.apply()
        strategy = ("--role", "etcd", "--canary-soak", "0", "--yes")
        done = self.tarmak("upgrade", "--bundle", self.digest(), *strategy, *words)
        assert done.code == 0, done.err
        return done

    @contextmanager
    def writing(self, prefix: str) -> Iterator[Writer]:
        """Have a client write for as long as the block lasts, and check its account afterwards."""
        with Writer(self.etcd(), f"{prefix}/") as writer:
            yield writer
        account = writer.account
        assert account.acknowledged
        assert writer.lost() == {}
        assert account.stale == []
        print(  # noqa: T201 - a figure for whoever runs the lab
            f"{prefix}: {len(account.acknowledged)} writes acknowledged, {account.refused} refused,"
            f" longest pause {account.longest_s:.2f} s"
        )
