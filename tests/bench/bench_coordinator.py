"""What the coordinator itself adds to an instance's upgrade: all but dry run, drain, Puppet and health.

On the real programs: five wings with a quick Puppet, one away at a time, nothing to soak. What is summed up
for each instance is the time from a wing's answer to the next command that a wing has accepted, both as the
wings themselves say: the answer's way, the orchestrator's checks, decision and commit, the command's way, and
the wing's checks and commit. The reference is the same number of bare MQTT round trips.
"""

import asyncio
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack
from datetime import datetime
from pathlib import Path
from statistics import quantiles

import tomli_w

from tests.bench.figures import Figure, figure
from tests.bench.plain import round_trips
from tests.dev_mesh import DevMesh, dev_mesh, write_bundle
from tests.quick_puppet import QuickPuppet

WORKERS = 5
BRISK = ("--canary-soak", "0", "--health-passes", "1", "--yes")
PERCENTILE = 99


def bench_coordinator(runs: int) -> Sequence[Figure]:
    """Measure `runs` rollouts of five instances each."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tarmak-bench-")))
        mesh = stack.enter_context(quick_mesh(folder))
        each = [taken for digest in digests(mesh, folder, runs) for taken in rolled_out(mesh, digest)]
        handed = [len(gaps) for gaps in each]
        plain = asyncio.run(round_trips(folder / "plain", clients=1, runs=sum(handed)))
    ours = [1000 * sum(gaps) for gaps in each]
    trips = iter(plain)
    reference = [1000 * sum(next(trips) for _ in range(count)) for count in handed]
    metrics = (("median", ours, reference), ("p99", [worst(ours)], [worst(reference)]))
    return [
        figure(
            "coordinator",
            f"its own time per instance, {name} of {len(each)}",
            unit="ms",
            ours=mine,
            reference=other,
            name=f"{max(handed)} bare MQTT round trips",
        )
        for name, mine, other in metrics
    ]


def quick_mesh(folder: Path) -> AbstractContextManager[DevMesh]:
    """Bring five workers up whose Puppet takes no time."""
    puppet = {"puppet": {"executable": str(QuickPuppet.write(folder / "puppet").executable)}}
    (folder / "extra.toml").write_text(tomli_w.dumps(puppet))
    return dev_mesh(folder / "mesh", f"worker={WORKERS}", "--wing-config", str(folder / "extra.toml"))


def digests(mesh: DevMesh, folder: Path, runs: int) -> Iterator[str]:
    """Yield the digests of as many bundles, once everything has converged on one before them."""
    for number in range(runs + 1):
        bundle = write_bundle(folder / f"bundle-{number}", f"notify {{ 'release {number}': }}\n")
        digest = mesh.tarmak("bundle", "push", bundle, "--no-validate").out.strip()
        if number:
            yield digest
        else:
            mesh.tarmak("converge", "--all", "--bundle", digest, "--yes")


def rolled_out(mesh: DevMesh, digest: str) -> Sequence[Sequence[float]]:
    """Roll a bundle out; returns for each instance the seconds between each answer and the next command."""
    before = max(event["cursor"] for event in mesh.events())
    mesh.tarmak("upgrade", "--all", "--bundle", digest, *BRISK)
    gaps: dict[str, list[float]] = {}
    answered: datetime | None = None
    for event in mesh.events():
        if event["cursor"] <= before or event["seq"] is None:
            continue
        match event["kind"].partition(".")[0]:
            case "accepted" if answered is not None:
                took = datetime.fromisoformat(event["at"]) - answered
                gaps.setdefault(event["instance"], []).append(took.total_seconds())
                answered = None
            case "succeeded":
                answered = datetime.fromisoformat(event["at"])
            case _:
                pass
    if len(gaps) != WORKERS:
        raise AssertionError(mesh.account(f"not every instance was upgraded: {gaps}"))
    return list(gaps.values())


def worst(values: Sequence[float]) -> float:
    """Return the 99th percentile."""
    return quantiles(values, n=100, method="inclusive")[PERCENTILE - 1]
