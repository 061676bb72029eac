"""Terraform's complaints, made errors that say what to do."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from orchestrator.infrastructure.errors import (
    NoTerraformError,
    PlanStaleError,
    StateBrokenError,
    StateLockedError,
    TerraformError,
)
from orchestrator.infrastructure.progress import Problem

LOCKED: Final = "Error acquiring the state lock"
STALE: Final = "Saved plan is stale"
BROKEN: Final = (
    "Unsupported state file format",
    "Error loading state",
    "Failed to load state",
    "Failed to read state",
    "Invalid state file",
)
VERSION: Final = ("Unsupported Terraform Core version", "Unsupported OpenTofu Core version")
PROVIDERS: Final = (
    "Inconsistent dependency lock file",
    "Failed to query available provider packages",
    "Required plugins are not installed",
    "Failed to install provider",
)
FIELD: Final = re.compile(r"^\s*(ID|Who|Created|Operation):\s*(.+?)\s*$", re.MULTILINE)
HALTED: Final = "execution halted"


def error_for(problems: Sequence[Problem], code: int, state: Path, doing: str) -> TerraformError:
    """Return the error that ends `doing`; the first complaint counts, the rest follows from it."""
    errors = [each for each in problems if each.is_error and each.summary != HALTED]
    if not errors:
        why = f"it ended with {code}, and said nothing of why"
        return TerraformError(what=f"Terraform could not {doing}", why=why)
    return _known(errors[0], state) or _plain(errors, state, doing)


def _known(first: Problem, state: Path) -> TerraformError | None:
    whole = f"{first.summary}\n{first.detail}"
    # A state that can't be read is reported as one that can't be locked.
    if any(sign in whole for sign in BROKEN):
        return _broken(first, state)
    if LOCKED in whole:
        return locked(first.detail)
    if STALE in whole:
        return stale("what there is has changed since it was made")
    if any(sign in whole for sign in VERSION):
        return _too_old(first)
    return _lost_provider(first) if any(sign in whole for sign in PROVIDERS) else None


def locked(detail: str) -> StateLockedError:
    """Return the error for a state that another process has, from what Terraform says of that one."""
    fields = dict(FIELD.findall(detail))
    lock = fields.get("ID", "unknown")
    who, since = fields.get("Who", "somebody"), fields.get("Created", "an unknown time")
    doing = fields.get("Operation", "").removeprefix("OperationType").lower() or "something"
    return StateLockedError(
        lock=lock,
        what="another Terraform works on this cluster",
        why=f"{who} has its state since {since.split('.')[0]}, for: {doing} (lock {lock})",
        action=f"wait for it; if it is long gone: tarmak cluster unlock {lock}",
    )


def stale(why: str) -> PlanStaleError:
    """Return the error for a saved plan that is no longer what would be done."""
    return PlanStaleError(
        what="the saved plan is stale",
        why=why,
        action="plan again: tarmak cluster plan, or apply without --planned",
    )


def _broken(problem: Problem, state: Path) -> StateBrokenError:
    said = _first_line(problem.detail.split("- ")[-1] if "problems:" in problem.detail else problem.detail)
    action = f"put a good copy in its place: {state}.backup is from before the last change, else one of yours"
    return StateBrokenError(
        what=f"{state} can't be read", why=said.removeprefix("Error message: "), action=action
    )


def _too_old(problem: Problem) -> NoTerraformError:
    action = "install 1.4 or later, or OpenTofu, and name it in TARMAK_TERRAFORM"
    return NoTerraformError(what="this Terraform is too old", why=line_of(problem), action=action)


def _lost_provider(problem: Problem) -> TerraformError:
    return TerraformError(
        what="a plugin that Terraform needs can't be had",
        why=line_of(problem),
        action="see that its registry can be reached, or give Terraform a mirror (provider_installation in"
        " its CLI configuration), and run it again: nothing was changed",
    )


def _plain(errors: Sequence[Problem], state: Path, doing: str) -> TerraformError:
    first, more = errors[0], len(errors) - 1
    others = f" (and {more} more, above)" if more else ""
    again = "mend the cause and run it again: what was done is recorded"
    if first.resource and doing == "destroy":
        again += (
            f"; to forget a machine that is gone: terraform -chdir={state.parent} state rm '{first.resource}'"
        )
    return TerraformError(what=f"Terraform could not {doing}{others}", why=line_of(first), action=again)


def line_of(problem: Problem) -> str:
    """Return a complaint as one line; of a program's output its last words, which say why."""
    where = f"{problem.resource}: " if problem.resource else ""
    head, output, said = problem.detail.partition("Output: ")
    if output and said.strip():
        return f"{where}{said.strip().splitlines()[-1]}"
    return f"{where}{problem.summary}{': ' if head.strip() else ''}{_first_line(head)}"


def _first_line(text: str) -> str:
    return " ".join(text.strip().split("\n\n")[0].split())
