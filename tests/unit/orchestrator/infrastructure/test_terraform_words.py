"""What Terraform says, as it was recorded from Terraform 1.11: progress, plans, complaints."""

import json
from pathlib import Path

import pytest

from orchestrator.infrastructure.changes import (
    Action,
    Changes,
    InstanceChange,
    OtherChange,
    read,
    unconfirmed,
)
from orchestrator.infrastructure.errors import (
    NoTerraformError,
    PlanStaleError,
    StateBrokenError,
    StateLockedError,
    TerraformError,
)
from orchestrator.infrastructure.progress import (
    Deed,
    Output,
    Phase,
    Problem,
    Progress,
    Said,
    Step,
    Summary,
    parse,
)
from orchestrator.infrastructure.state import State, addresses_in, roles_in
from orchestrator.infrastructure.terraform import _complaint
from orchestrator.infrastructure.troubles import error_for

RECORDED = Path(__file__).parent / "recorded"
STATE = Path("/srv/home/terraform.tfstate")
UP = frozenset({"terraform_data.up"})


def heard(name: str) -> list[Progress]:
    lines = (RECORDED / f"{name}.jsonl").read_text().splitlines()
    return [told for told in map(parse, lines) if told is not None]


def test_an_apply_is_told_step_by_step() -> None:
    """Each resource begins and ends, by its instance's name; at last it is counted."""
    told = heard("apply")
    steps = [one for one in told if isinstance(one, Step) and one.resource.startswith("terraform_data.up")]
    assert [(one.deed, one.phase) for one in steps if one.instance == "etcd-1"] == [
        (Deed.CREATE, Phase.BEGUN),
        (Deed.CREATE, Phase.DONE),
    ]
    assert told[-1] == Summary(operation="apply", add=6, change=0, remove=0)
    assert not [one for one in told if isinstance(one, Problem | Said)]


def test_a_failure_has_the_programs_words() -> None:
    """Its output comes as it is written, then the step fails, then Terraform complains."""
    told = [one for one in heard("failed") if getattr(one, "instance", "worker-1") == "worker-1"]
    resource = 'terraform_data.up["worker-1"]'
    assert Output(resource=resource, instance="worker-1", line="no space left on this machine") in told
    last = next(one for one in told if isinstance(one, Problem))
    assert (last.is_error, last.resource) == (True, resource)
    error = error_for([last], 1, STATE, "apply")
    assert error.what == "Terraform could not apply"
    assert error.why == f"{resource}: no space left on this machine"


LINES = {
    "": None,
    "   ": None,
    "│ Warning: Unable to open CLI configuration file": Said(
        text="Warning: Unable to open CLI configuration file"
    ),
    "╷": None,
    "[1, 2]": Said(text="[1, 2]"),
    '{"@message":"Terraform 1.11.4","type":"version"}': None,
    '{"@message":"new in 2.0","type":"not_yet_known"}': None,
    '{"@message":"\\nInterrupt received.\\nWait","type":"log"}': Said(text="Interrupt received. Wait"),
    '{"@message":"a: Creating...","type":"apply_start","hook":{}}': Said(text="a: Creating..."),
    '{"@message":"a: Melts","type":"apply_start","hook":{"resource":{"addr":"a"},"action":"melt"}}': Said(
        text="a: Melts"
    ),
    '{"type":"apply_complete","hook":{"resource":{"addr":"x.y","resource_key":null},"action":"delete",'
    '"elapsed_seconds":3}}': Step(
        resource="x.y", instance=None, deed=Deed.DELETE, phase=Phase.DONE, elapsed_s=3.0
    ),
    '{"type":"provision_progress","hook":{"resource":{"addr":"x.y"},"output":"  "}}': None,
    '{"type":"diagnostic","diagnostic":{"severity":"warning","summary":"old"}}': Problem(
        is_error=False, summary="old", detail=""
    ),
}


@pytest.mark.parametrize(("line", "told"), LINES.items())
def test_each_line_is_one_thing_or_nothing(line: str, told: Progress | None) -> None:
    """What isn't known is left out; what is known in another form is still shown."""
    assert parse(line) == told


def test_a_plan_is_read_by_instance() -> None:
    """The gravest of an instance's changes is its change, with its reason; what is renewable harms nobody."""
    table = json.loads((RECORDED / "plan.json").read_text())
    changes = read(table, roles={"etcd-2": "worker"}, renewable=UP)
    assert [(one.instance, one.role, one.action, one.reason) for one in changes.instances] == [
        ("bastion-1", "bastion", Action.START, ""),
        ("etcd-1", "etcd", Action.REPLACE, "role: etcd → worker, size: medium → large"),
        ("etcd-2", "worker", Action.CREATE, ""),
        ("worker-1", "worker", Action.START, ""),
    ]
    assert [one.instance for one in changes.losing()] == ["etcd-1"]
    grave = read(table, roles={}, renewable=frozenset())
    assert grave.instances[0].action is Action.REPLACE


def test_a_change_says_what_differs() -> None:
    """Labels too, and what had none; of a resource that is no instance's record, its own attributes."""
    before, after = {"labels": {"zone": "a"}, "user": "root"}, {"labels": {}, "user": None}
    change = {"actions": ["update"], "before": {"input": before}, "after": {"input": after}}
    table = {"change": change, "type": "terraform_data", "name": "host", "address": "x", "index": "a-1"}
    (found,) = read({"resource_changes": [table]}, roles={"a-1": "worker"}, renewable=UP).instances
    assert (found.action, found.reason) == (Action.CHANGE, "labels: zone=a → none, user: root → none")
    table["change"] = {"actions": ["update"], "before": {"size": 1}, "after": {"size": 2}}
    (found,) = read({"resource_changes": [table]}, roles={"a-1": "worker"}, renewable=UP).instances
    assert found.reason == "size: 1 → 2"


def test_what_is_no_instances_is_shown_too() -> None:
    """A resource without an instance's name stands by its own; what is only read is no change."""
    changed = {"change": {"actions": ["update"]}, "type": "a_net", "name": "b", "address": "a_net.b"}
    looked = {
        "change": {"actions": ["read"]},
        "type": "a",
        "name": "c",
        "address": "data.a.c",
        "mode": "data",
    }
    changes = read({"resource_changes": [changed, looked]}, roles={}, renewable=UP)
    assert changes == Changes(others=(OtherChange(resource="a_net.b", action=Action.CHANGE),))
    assert changes.pending
    assert not read({}, roles={}, renewable=UP).pending


def test_a_disk_of_its_own_counts_as_its_instance() -> None:
    """Whatever a provider indexes by an instance's name is that instance's to lose."""
    disk = {
        "change": {"actions": ["delete"]},
        "type": "x_disk",
        "name": "data",
        "address": "x",
        "index": "etcd-1",
    }
    (lost,) = read({"resource_changes": [disk]}, roles={"etcd-1": "etcd"}, renewable=UP).losing()
    assert (lost.instance, lost.action) == ("etcd-1", Action.DESTROY)


@pytest.mark.parametrize("role", ["etcd", "vault", "master", "worker", "bastion"])
@pytest.mark.parametrize("action", list(Action))
def test_only_an_end_of_etcd_or_vault_needs_a_name(role: str, action: Action) -> None:
    """Any other change, and any other role, needs none; a name that is given covers its own instance only."""
    changes = Changes(instances=(InstanceChange(instance="a-1", role=role, action=action),))
    grave = role in {"etcd", "vault"} and action in {Action.DESTROY, Action.REPLACE}
    assert bool(unconfirmed(changes, ())) is grave
    assert bool(unconfirmed(changes, ["b-1"])) is grave
    assert not unconfirmed(changes, ["a-1"])


def test_an_apply_that_failed_has_still_made_something() -> None:
    """Roles and addresses come from what was made, where the output was not written any more."""
    made = {"type": "terraform_data", "name": "host", "mode": "managed"}
    made["values"] = {"input": {"name": "etcd-1", "role": "etcd", "address": "198.18.4.11/24"}}  # type: ignore[assignment]
    module = {"resources": [], "child_modules": [{"resources": [made]}]}
    state = State.of({"values": {"root_module": module}})
    assert (roles_in(state), addresses_in(state)) == ({"etcd-1": "etcd"}, {"etcd-1": "198.18.4.11"})
    assert (state.resources, State.of({}).resources) == (1, 0)


LOCKED = """\
Error message: resource temporarily unavailable
Lock Info:
  ID:        6c83d0ac
  Path:      terraform.tfstate
  Operation: OperationTypeApply
  Who:       ada@desk
  Version:   1.11.4
  Created:   2026-11-25 07:00:00.5 +0000 UTC
  Info:


Terraform acquires a state lock to protect the state from being written
by multiple users at the same time."""
BROKEN = """\
Error message: 2 problems:

- Unsupported state file format: The state file could not be parsed as JSON: syntax error at byte offset 20.
- Unsupported state file format: The state file does not have a "version" attribute, which is required.

Terraform acquires a state lock to protect the state from being written
by multiple users at the same time."""
COMPLAINTS: dict[str, tuple[str, str, type[TerraformError], str]] = {
    "held": (
        "Error acquiring the state lock",
        LOCKED,
        StateLockedError,
        r"ada@desk has its state since 2026-11-25 07:00:00, for: apply \(lock 6c83d0ac\).*unlock 6c83d0ac",
    ),
    "held by nobody known": (
        "Error acquiring the state lock",
        "",
        StateLockedError,
        "somebody has its state",
    ),
    "broken, as told while locking": (
        "Error acquiring the state lock",
        BROKEN,
        StateBrokenError,
        r"/srv/home/terraform\.tfstate can't be read.*which is required.*terraform\.tfstate\.backup",
    ),
    "broken": ("Unsupported state file format", "It uses format version 99.", StateBrokenError, "version 99"),
    "stale": ("Saved plan is stale", "The given plan file can no longer", PlanStaleError, "plan again"),
    "old": ("Unsupported Terraform Core version", "This does not", NoTerraformError, "install 1.4 or later"),
    "no plugin": (
        "Failed to query available provider packages",
        "Could not retrieve the list of versions for provider example/none:\nno such host\n\nTo see",
        TerraformError,
        "example/none: no such host; see that its registry can be reached",
    ),
    "else": (
        "Invalid function argument",
        "It is\nwrong.\n\nMore.",
        TerraformError,
        "argument: It is wrong.;",
    ),
}


@pytest.mark.parametrize(("summary", "detail", "kind", "said"), COMPLAINTS.values(), ids=COMPLAINTS)
def test_a_complaint_becomes_an_error_with_a_way_out(
    summary: str, detail: str, kind: type[TerraformError], said: str
) -> None:
    """What halted because of it is not counted."""
    halted = Problem(is_error=True, summary="execution halted", detail="")
    warned = Problem(is_error=False, summary="deprecated", detail="")
    error = error_for(
        [warned, Problem(is_error=True, summary=summary, detail=detail), halted], 1, STATE, "apply"
    )
    assert type(error) is kind
    with pytest.raises(kind, match=said):
        raise error


def test_a_machine_that_is_gone_can_be_forgotten() -> None:
    """Where its end fails, the error has the command that does so."""
    problem = Problem(is_error=True, summary="bad", detail="", resource='terraform_data.host["a-1"]')
    error = error_for([problem, problem], 1, STATE, "destroy")
    assert "(and 1 more, above)" in error.what
    assert "terraform -chdir=/srv/home state rm 'terraform_data.host[\"a-1\"]'" in error.action


def test_a_failure_without_a_word_says_so() -> None:
    """The exit code is all that there is."""
    error = error_for([], -9, STATE, "plan")
    assert (error.what, error.why) == (
        "Terraform could not plan",
        "it ended with -9, and said nothing of why",
    )


DRAWN = """\x1b[31m╷\x1b[0m\x1b[0m
\x1b[31m│\x1b[0m \x1b[0m\x1b[1m\x1b[33mWarning: \x1b[0m\x1b[0m\x1b[1mUnable to open\x1b[0m
\x1b[31m╵\x1b[0m\x1b[0m
\x1b[31m╷\x1b[0m\x1b[0m
\x1b[31m│\x1b[0m \x1b[0m\x1b[1m\x1b[31mError: \x1b[0m\x1b[0m\x1b[1mUnsupported state file format\x1b[0m
\x1b[31m│\x1b[0m \x1b[0m
\x1b[31m│\x1b[0m \x1b[0m\x1b[0mThe state file could not be parsed as JSON: syntax error at byte offset 20.
\x1b[31m╵\x1b[0m\x1b[0m
"""


def test_a_complaint_that_was_drawn_is_read_too() -> None:
    """Some words know no JSON: frame, colours and warnings before it are taken off."""
    problem = _complaint(DRAWN)
    assert problem.summary == "Unsupported state file format"
    assert problem.detail == "The state file could not be parsed as JSON: syntax error at byte offset 20."
