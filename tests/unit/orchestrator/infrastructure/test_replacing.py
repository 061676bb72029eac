"""Which plans are good for a replacement: they change the machines whose turn it is, and nothing else."""

import pytest

from orchestrator.infrastructure.changes import Action, Changes, InstanceChange, OtherChange
from orchestrator.infrastructure.errors import RefusedError
from orchestrator.infrastructure.replacing import refuse_others

ANEW = InstanceChange(instance="worker-2", role="worker", action=Action.REPLACE)
MORE = InstanceChange(instance="worker-4", role="worker", action=Action.CREATE)


@pytest.mark.parametrize(
    "changes",
    [
        Changes(),
        Changes(instances=(ANEW,)),
        Changes(instances=(ANEW,), outputs=True),
        Changes(instances=(InstanceChange(instance="worker-2", role="worker", action=Action.CREATE),)),
    ],
)
def test_the_machines_whose_turn_it_is_may_be_made(changes: Changes) -> None:
    """Whole, or what a Terraform that was killed has left of them; addresses and keys follow."""
    refuse_others(changes, ["worker-2"])


@pytest.mark.parametrize(
    ("changes", "names", "what"),
    [
        (Changes(instances=(ANEW, MORE)), ["worker-2"], "more than worker-2: worker-4 (create)"),
        (Changes(instances=(ANEW,)), [], "Terraform would change worker-2 (replace)"),
        (
            Changes(instances=(ANEW,), others=(OtherChange(resource="net.a", action=Action.CHANGE),)),
            ["worker-2"],
            "more than worker-2: net.a (change)",
        ),
    ],
)
def test_whatever_else_would_change_is_refused_by_name(changes: Changes, names: list[str], what: str) -> None:
    """It says what to do first."""
    with pytest.raises(RefusedError) as caught:
        refuse_others(changes, names)
    assert what in caught.value.what
    assert "apply that first" in caught.value.action
