"""How `tarmak cluster` tells of Terraform's work."""

import pytest

from orchestrator.cli.cluster_text import told
from orchestrator.infrastructure.progress import Deed, Output, Phase, Problem, Progress, Said, Step, Summary

UP = frozenset({"terraform_data.up"})


def step(kind: str, deed: Deed, phase: Phase, *, instance: str | None = "etcd-1") -> Step:
    name = f'terraform_data.{kind}["{instance}"]' if instance else f"a_net.{kind}"
    return Step(resource=name, instance=instance, deed=deed, phase=phase, elapsed_s=3.4)


LINES: tuple[tuple[Progress, str], ...] = (
    (step("host", Deed.CREATE, Phase.BEGUN), "etcd-1 is being made"),
    (step("host", Deed.CREATE, Phase.DONE), "etcd-1 is made (3 s)"),
    (step("host", Deed.DELETE, Phase.DONE), "etcd-1 has ended (3 s)"),
    (step("host", Deed.UPDATE, Phase.FAILED), "etcd-1 failed while it was being changed (3 s)"),
    (step("up", Deed.CREATE, Phase.BEGUN), "etcd-1 is being started"),
    (step("up", Deed.CREATE, Phase.DONE), "etcd-1 runs (3 s)"),
    (step("up", Deed.CREATE, Phase.FAILED), "etcd-1 failed while it was being started (3 s)"),
    (step("up", Deed.DELETE, Phase.DONE), ""),
    (step("net", Deed.CREATE, Phase.DONE, instance=None), "a_net.net is made (3 s)"),
    (Output(resource="x", instance="etcd-1", line="a\x1b[31mb"), "etcd-1: a [31mb"),
    (Problem(is_error=True, summary="bad", detail="", resource="x"), "Terraform fails: x: bad"),
    (Problem(is_error=True, summary="execution halted", detail=""), ""),
    (Problem(is_error=False, summary="old", detail="very\n\nmore"), "Terraform warns: old: very"),
    (Summary(operation="apply", add=1, change=0, remove=0), ""),
    (Said(text="Stopping operation..."), "Stopping operation..."),
)


@pytest.mark.parametrize(("progress", "line"), LINES)
def test_each_step_is_a_line_for_people(progress: Progress, line: str) -> None:
    """Nobody is told that an instance ends which is only started anew."""
    assert told(progress, UP) == line
