"""What Terraform says while it works, line by line, as values.

`-json` gives one object a line (its "machine-readable UI"); beside them stand plain lines, such as warnings
about its own configuration. Types that are not known are left out: its makers add some with each release.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, TypeAlias


class Deed(Enum):
    """What is done to a resource."""

    CREATE = "create"
    UPDATE = "update"
    DELETE = "delete"
    READ = "read"


class Phase(Enum):
    """How far it is."""

    BEGUN = "begun"
    DONE = "done"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A resource begins to be created, changed or ended, or that has ended, well or not."""

    resource: str
    instance: str | None
    deed: Deed
    phase: Phase
    elapsed_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """A line from the program that makes or ends a host."""

    resource: str
    instance: str | None
    line: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """What Terraform complains of."""

    is_error: bool
    summary: str
    detail: str
    resource: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """How many resources a plan or an apply is about."""

    operation: str
    add: int
    change: int
    remove: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """Anything that it says outside of its form."""

    text: str


Progress: TypeAlias = Step | Output | Problem | Summary | Said

FRAME = " \t\r\n╷│╵"
"""What is drawn around complaints for people."""
PHASES = {"apply_start": Phase.BEGUN, "apply_complete": Phase.DONE, "apply_errored": Phase.FAILED}


def parse(line: str) -> Progress | None:
    """Return what a line says; None for what is of no interest, and for an empty one."""
    try:
        table = json.loads(line)
    except ValueError:
        table = None
    if not isinstance(table, dict) or "type" not in table:
        text = line.strip(FRAME)
        return Said(text=text) if text else None
    try:
        return _parsed(table)
    except (KeyError, TypeError, ValueError):
        # A type that we know in a form that we don't: what it says to people is still worth showing.
        return Said(text=str(table.get("@message", "")).strip())


def _parsed(table: Mapping[str, Any]) -> Progress | None:
    match table["type"]:
        case "apply_start" | "apply_complete" | "apply_errored":
            return _step(table["hook"], PHASES[table["type"]])
        case "provision_progress":
            return _output(table["hook"])
        case "diagnostic":
            return _problem(table["diagnostic"])
        case "change_summary":
            return _summary(table["changes"])
        case "log":
            return Said(text=" ".join(str(table["@message"]).split()))
        case _:
            return None


def _step(hook: Mapping[str, Any], phase: Phase) -> Step:
    return Step(
        resource=hook["resource"]["addr"],
        instance=_instance(hook["resource"]),
        deed=Deed(hook["action"]),
        phase=phase,
        elapsed_s=float(hook.get("elapsed_seconds", 0)),
    )


def _output(hook: Mapping[str, Any]) -> Output | None:
    line = str(hook["output"]).rstrip()
    if not line or line.startswith("Executing: ["):
        return None
    return Output(resource=hook["resource"]["addr"], instance=_instance(hook["resource"]), line=line)


def _problem(diagnostic: Mapping[str, Any]) -> Problem:
    return Problem(
        is_error=diagnostic["severity"] == "error",
        summary=diagnostic["summary"],
        detail=diagnostic.get("detail", ""),
        resource=diagnostic.get("address"),
    )


def _summary(changes: Mapping[str, Any]) -> Summary:
    return Summary(
        operation=changes["operation"],
        add=int(changes["add"]),
        change=int(changes["change"]),
        remove=int(changes["remove"]),
    )


def _instance(resource: Mapping[str, Any]) -> str | None:
    """Return whose resource it is: what belongs to an instance is indexed by that one's name."""
    key = resource.get("resource_key")
    return key if isinstance(key, str) else None
