"""A whole mesh of real parts for a test or a bench: `tarmak dev up`, as a user would start it.

Waits are for events: a line that a program prints, an event of the tail, a child's end. One generous
deadline around each only turns a hang into a failure that carries the programs' own words.
"""

import contextlib
import json
import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

DEADLINE_S = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """How a command ended."""

    code: int
    out: str
    err: str


class Tail:
    """What `tarmak events -f` prints, from wherever the reader has got to."""

    def __init__(self, process: subprocess.Popen[str], account: Callable[[str], str]) -> None:
        self._account = account
        self._lines = lines_of(process, what="an event", account=account)

    def until(self, seen: Callable[[dict[str, Any]], bool], what: str) -> dict[str, Any]:
        """Read on until an event fits, and return it."""
        for line in self._lines:
            event: dict[str, Any] = json.loads(line)
            if seen(event):
                return event
        raise AssertionError(self._account(f"the tail ended before {what}"))


class DevMesh:
    """A running `tarmak dev up`, and the commands of its operator."""

    def __init__(self, folder: Path, process: subprocess.Popen[str]) -> None:
        self.folder = folder
        self.process = process

    @property
    def environment(self) -> dict[str, str]:
        """What a shell has after `. D/env`."""
        shell = ["sh", "-c", '. "$0" >/dev/null && env -0', str(self.folder / "env")]
        exported = subprocess.run(shell, check=True, capture_output=True, text=True).stdout
        pairs = (entry.partition("=") for entry in exported.split("\0") if entry)
        return {name: value for name, _, value in pairs}

    def tarmak(self, *words: str | Path, expect: int | None = 0) -> Answer:
        """Run a command to its end; `expect` None takes any exit code."""
        ended = subprocess.run(
            [tarmak(), *map(str, words)],
            check=False,
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            env=self.environment,
            timeout=DEADLINE_S,
        )
        answer = Answer(code=ended.returncode, out=ended.stdout, err=ended.stderr)
        if expect is not None and answer.code != expect:
            raise AssertionError(self.account(f"tarmak {words} → {answer}"))
        return answer

    def json(self, *words: str | Path) -> Any:
        """Run a command with `-o json` and return what it printed."""
        return json.loads(self.tarmak(*words, "-o", "json").out)

    def push(self, bundle: Path) -> str:
        """Push a bundle and return its digest."""
        return self.tarmak("bundle", "push", bundle).out.strip()

    def instances(self) -> dict[str, dict[str, Any]]:
        """Return the fleet by id."""
        return {instance["id"]: instance for instance in self.json("instances")}

    def events(self) -> list[dict[str, Any]]:
        """Return every event so far, in the order of the tail."""
        lines = self.tarmak("events", "--since", "0", "-o", "jsonl").out.splitlines()
        return [json.loads(line) for line in lines]

    @contextlib.contextmanager
    def background(self, *words: str | Path) -> Iterator[subprocess.Popen[str]]:
        """Start a command beside the test; it is ended with the block if it still runs."""
        with subprocess.Popen(
            [tarmak(), *map(str, words)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=self.environment,
        ) as process:
            try:
                yield process
            finally:
                if process.poll() is None:
                    process.terminate()

    @contextlib.contextmanager
    def tail(self, *, since: int = 0) -> Iterator["Tail"]:
        """Follow the events after cursor `since`, as `tarmak events -f` prints them."""
        with self.background("events", "-f", "--since", str(since), "-o", "jsonl") as process:
            yield Tail(process, self.account)

    def pid(self, name: str) -> int:
        """Return the pid of `broker`, `orchestrator` or an instance's wing."""
        pids: dict[str, int] = json.loads((self.folder / "pids.json").read_text())
        return pids[name]

    def kill(self, name: str) -> None:
        """End a child at once, as a power loss would."""
        os.kill(self.pid(name), signal.SIGKILL)

    def account(self, what: str) -> str:
        """Return `what` with the end of each program's log."""
        logs = sorted((self.folder / "logs").glob("*.log"))
        ends = (f"--- {log.name}\n{log.read_text(errors='replace')[-3000:]}" for log in logs)
        return "\n".join([what, *ends])


@contextlib.contextmanager
def dev_mesh(folder: Path, instances: str, *more: str) -> Iterator[DevMesh]:
    """Bring a mesh up, `dev up` given `more` words, and take it down; it must end in order when told to."""
    words = [tarmak(), "dev", "up", "--instances", instances, "--dir", str(folder), *more]
    with subprocess.Popen(
        words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        mesh = DevMesh(folder, process)
        try:
            for line in lines_of(process, what="ready", account=mesh.account):
                if line.strip() == "ready":
                    break
            else:
                raise AssertionError(mesh.account("dev up ended before it was ready"))
            yield mesh
        finally:
            process.terminate()
            process.communicate(timeout=DEADLINE_S)


def lines_of(process: subprocess.Popen[str], *, what: str, account: Callable[[str], str]) -> Iterator[str]:
    """Yield the lines of a process as they come; silence past the deadline fails with its account."""
    assert process.stdout is not None
    deadline = time.monotonic() + DEADLINE_S
    seen: list[str] = []
    for line in _lines(process.stdout, deadline):
        if line is None:
            process.kill()
            raise AssertionError(account(f"waited {DEADLINE_S} s for {what}; last lines: {seen[-20:]}"))
        seen.append(line)
        yield line


def _lines(stream: IO[str], deadline: float) -> Iterator[str | None]:
    pending = ""
    with selectors.DefaultSelector() as selector:
        selector.register(stream, selectors.EVENT_READ)
        while True:
            if not selector.select(timeout=max(0.0, deadline - time.monotonic())):
                yield None
                return
            part = os.read(stream.fileno(), 65536).decode()
            if not part:
                return
            *whole, pending = (pending + part).split("\n")
            yield from whole


def tarmak() -> str:
    """Return the `tarmak` that stands beside this interpreter."""
    return str(Path(sys.executable).with_name("tarmak"))


def write_bundle(folder: Path, manifest: str) -> Path:
    """Write the smallest bundle that holds `manifest`, and return its folder."""
    (folder / "manifests").mkdir(parents=True)
    (folder / "data").mkdir()
    (folder / "modules").mkdir()
    (folder / "manifests" / "site.pp").write_text(manifest)
    (folder / "data" / "common.yaml").write_text("---\n{}\n")
    (folder / "hiera.yaml").write_text(
        "---\nversion: 5\nhierarchy:\n  - name: common\n    path: common.yaml\n"
    )
    return folder
