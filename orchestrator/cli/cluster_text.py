"""Clusters, plans and Terraform's progress, as they are printed."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any, Final, assert_never

from orchestrator.cli.output import Column, Form, note, printable, show_list, show_one, table
from orchestrator.infrastructure.changes import Action, Changes, InstanceChange
from orchestrator.infrastructure.cluster import Cluster
from orchestrator.infrastructure.clusters import Work
from orchestrator.infrastructure.hosts import Host
from orchestrator.infrastructure.places import Home
from orchestrator.infrastructure.progress import Deed, Output, Phase, Problem, Progress, Said, Step, Summary
from orchestrator.infrastructure.troubles import HALTED, line_of

DOING: Final[Mapping[Deed, tuple[str, str]]] = {
    Deed.CREATE: ("is being made", "is made"),
    Deed.UPDATE: ("is being changed", "is changed"),
    Deed.DELETE: ("is being ended", "has ended"),
    Deed.READ: ("is being looked at", "was looked at"),
}
STARTING: Final[Mapping[Deed, tuple[str, str]]] = {Deed.CREATE: ("is being started", "runs")}
"""What is renewable ends without anything ending that people know of."""
CHANGES: Final = (
    Column(heading="INSTANCE", cell=lambda change: change.instance),
    Column(heading="ROLE", cell=lambda change: change.role),
    Column(heading="CHANGE", cell=lambda change: change.action.value),
    Column(heading="WHY", cell=lambda change: change.reason),
)
HOSTS: Final = (
    Column(heading="INSTANCE", cell=lambda host: host.name),
    Column(heading="ROLE", cell=lambda host: host.role),
    Column(heading="POOL", cell=lambda host: host.pool),
    Column(heading="ADDRESS", cell=lambda host: host.address),
    Column(heading="USER", cell=lambda host: host.user),
    Column(heading="PORT", cell=lambda host: str(host.port)),
)
CLUSTERS: Final = (
    Column(heading="CLUSTER", cell=lambda row: row["name"]),
    Column(heading="PROVIDER", cell=lambda row: row["provider"]),
    Column(heading="INSTANCES", cell=lambda row: str(row["instances"])),
    Column(heading="DIRECTORY", cell=lambda row: row["directory"]),
)


def tell(progress: Progress, renewable: frozenset[str]) -> None:
    """Say on stderr how Terraform's work goes."""
    line = told(progress, renewable)
    if line:
        note(line)


def told(progress: Progress, renewable: frozenset[str]) -> str:
    """Return the line for a step of Terraform's; empty for what says nothing new."""
    match progress:
        case Step():
            starting = progress.resource.partition("[")[0] in renewable
            return _step(progress, STARTING if starting else DOING)
        case Output(line=line):
            return f"{progress.instance or progress.resource}: {printable(line)}"
        case Problem(summary=summary) if summary == HALTED:
            return ""  # it follows from another
        case Problem():
            return f"Terraform {'fails' if progress.is_error else 'warns'}: {printable(line_of(progress))}"
        case Summary():
            return ""  # the changes were shown by instance
        case Said(text=text):
            return printable(text)
        case _:
            assert_never(progress)


def show_plan(form: Form, work: Work, changes: Changes) -> None:
    """Print a plan as the result that it is."""
    show_one(form, _plan(work, changes), _lines(work, changes))


def show_changes(work: Work, changes: Changes) -> None:
    """Say what is about to be done."""
    for line in _lines(work, changes):
        note(line)


def show_clusters(form: Form, clusters: Sequence[tuple[Home, Cluster]]) -> None:
    """Print the clusters that there are."""
    rows = [_cluster(home, cluster) for home, cluster in clusters]
    show_list(form, rows, CLUSTERS, none="no clusters; describe one with `tarmak cluster init`")


def show_hosts(form: Form, hosts: Sequence[Host]) -> None:
    """Print the machines of a cluster."""
    show_list(form, hosts, HOSTS, none="no machines; make them with `tarmak cluster apply`")


def _step(step: Step, words: Mapping[Deed, tuple[str, str]]) -> str:
    name = step.instance or step.resource
    if step.deed not in words:
        return ""
    during, after = words[step.deed]
    match step.phase:
        case Phase.BEGUN:
            return f"{name} {during}"
        case Phase.DONE:
            return f"{name} {after} ({step.elapsed_s:.0f} s)"
        case Phase.FAILED:
            return f"{name} failed while it {during.replace('is ', 'was ')} ({step.elapsed_s:.0f} s)"


def _lines(work: Work, changes: Changes) -> list[str]:
    name = work.cluster.name
    if not changes.pending:
        return [f"{name}: nothing to do, all machines are as described"]
    lines = table(changes.instances, CHANGES) if changes.instances else []
    lines += [f"{change.resource}: {change.action.value}" for change in changes.others]
    return [*lines, f"{name}: {_counted(changes.instances) or 'what it tells of itself changes'}"]


def _counted(changes: Sequence[InstanceChange]) -> str:
    counts = Counter(change.action for change in changes)
    return ", ".join(f"{counts[action]} to {action.value}" for action in reversed(Action) if counts[action])


def _plan(work: Work, changes: Changes) -> dict[str, Any]:
    return {
        "cluster": work.cluster.name,
        "pending": changes.pending,
        "changes": [asdict(change) for change in changes.instances],
        "others": [asdict(change) for change in changes.others],
        "losing": [change.instance for change in changes.losing()],
        "warnings": list(work.cluster.warnings()),
        "saved": str(work.home.plan),
    }


def _cluster(home: Home, cluster: Cluster) -> dict[str, Any]:
    count = sum(len(pool.names()) for pool in cluster.pools)
    provider = cluster.provider.kind
    return {"name": cluster.name, "provider": provider, "instances": count, "directory": str(home.path)}
