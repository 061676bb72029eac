"""How long until the last of N wings has answered a ping, against N bare MQTT clients that echo.

Ours is the slowest round trip that the orchestrator measured, with the command signed and checked, and
the answer signed and checked, one process a wing.
"""

import asyncio
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from tests.bench.figures import Figure, figure
from tests.bench.plain import round_trips
from tests.dev_mesh import DevMesh, dev_mesh

WINGS = 10


def bench_fanout(runs: int) -> Sequence[Figure]:
    """Measure with ten wings."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tarmak-bench-")))
        mesh = stack.enter_context(dev_mesh(folder / "mesh", f"worker={WINGS}"))
        _slowest(mesh)
        ours = [_slowest(mesh) for _ in range(runs)]
        plain = asyncio.run(round_trips(folder / "plain", clients=WINGS, runs=runs))
    return [
        figure(
            "fanout",
            f"ping of {WINGS} wings, the slowest",
            unit="ms",
            ours=[1000 * taken for taken in ours],
            reference=[1000 * taken for taken in plain],
            name="bare MQTT echo",
        )
    ]


def _slowest(mesh: DevMesh) -> float:
    answers = mesh.json("ping", "--all")
    taken = [answer["round_trip_s"] for answer in answers]
    if len(taken) != WINGS or None in taken:
        raise AssertionError(mesh.account(f"not every wing answered: {answers}"))
    return float(max(taken))
