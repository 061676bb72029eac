"""Changes as people read them: the resource, what of it, and the diff as `diff -u` has it."""

from collections.abc import Iterator

from orchestrator.cli.output import GREEN, PLAIN, RED, colourful, printable, printable_lines
from orchestrator.domain.views import ChangeView, PlanView

SIGNS = {"+": GREEN, "-": RED}


def change_lines(change: ChangeView, *, indent: str = "") -> Iterator[str]:
    """Yield the lines that show one change."""
    where = f"  ({change.file}:{change.line})" if change.file else ""
    yield f"{indent}~ {printable(change.resource)} {change.property}{where}"
    if change.diff is None:
        yield f"{indent}    {printable(change.before)} → {printable(change.after)}"
        return
    coloured = colourful()
    for line in printable_lines(change.diff.rstrip("\n")):
        colour = SIGNS.get(line[:1]) if coloured else None
        yield f"{indent}    {line}" if colour is None else f"{indent}    {colour}{line}{PLAIN}"


def plan_lines(plan: PlanView) -> Iterator[str]:
    """Yield the lines that show a plan: each group of identical changes once."""
    for group in plan.groups:
        some = "1 instance" if len(group.instances) == 1 else f"{len(group.instances)} instances"
        changes = "1 change" if len(group.changes) == 1 else f"{len(group.changes)} changes"
        yield f"{some}, {changes}: {', '.join(group.instances)}"
        for change in group.changes:
            yield from change_lines(change, indent="  ")
        yield ""
    if plan.unchanged:
        yield f"unchanged: {', '.join(plan.unchanged)}"
    for failure in plan.failed:
        yield f"failed: {failure.instance}: {printable(failure.reason)}"
    if plan.pending:
        yield f"not known yet: {', '.join(plan.pending)}"
    yield f"bundle: {plan.bundle}"
    yield f"diff hash: {plan.diff_hash or '-'}"
