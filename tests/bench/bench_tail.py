"""How late an operator sees a fact: from the wing's emitting it to the line that `tarmak events -f` prints.

The reference is a bare MQTT round trip through the same kind of broker. What lies between the two is the
wing's and the orchestrator's commits, signatures and their checks, and the stream to the terminal.
"""

import asyncio
import json
import subprocess
import tempfile
import threading
import time
from collections.abc import Sequence
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path

from tests.bench.figures import Figure, figure
from tests.bench.plain import round_trips
from tests.dev_mesh import DevMesh, dev_mesh, lines_of, write_bundle


def bench_tail(runs: int) -> Sequence[Figure]:
    """Measure on one mesh of one worker, whose facts come from small dry runs."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tarmak-bench-")))
        mesh = stack.enter_context(dev_mesh(folder / "mesh", "worker=1"))
        ours = _latencies(mesh, folder, runs)
        plain = asyncio.run(round_trips(folder / "plain", clients=1, runs=len(ours)))
    return [
        figure(
            "tail",
            "fact emitted → printed",
            unit="ms",
            ours=[1000 * taken for taken in ours],
            reference=[1000 * taken for taken in plain],
            name="bare MQTT round trip",
        )
    ]


def _latencies(mesh: DevMesh, folder: Path, runs: int) -> Sequence[float]:
    digest = mesh.push(write_bundle(folder / "bundle", "notify { 'bench': withpath => false }\n"))
    taken: list[float] = []
    with mesh.background("events", "-f", "-o", "jsonl") as tail:
        reader = threading.Thread(target=_read, args=(mesh, tail, taken), name="bench.tail")
        reader.start()
        for _ in range(runs):
            mesh.tarmak("converge", "--all", "--dry-run", "--bundle", digest)
        tail.terminate()
        reader.join()
    return taken


def _read(mesh: DevMesh, tail: subprocess.Popen[str], taken: list[float]) -> None:
    for line in lines_of(tail, what="facts", account=mesh.account):
        event = json.loads(line)
        if event["seq"] is not None:
            taken.append(time.time() - datetime.fromisoformat(event["at"]).timestamp())
