"""Short names to whole ones: the beginning of a digest, a part of a run's id; only one may fit."""

from collections.abc import Sequence
from typing import Final

from broker import ids
from broker.errors import InvalidIdError
from broker.ids import Digest, InstanceId, RolloutId, RunId
from orchestrator.cli.stop import Code, StopError, usage
from orchestrator.client import Client

LEAST: Final = 4
SEARCHED_RUNS: Final = "10000"
SEARCHED_ROLLOUTS: Final = "100"


def bundle_named(client: Client, text: str) -> Digest:
    """Return the digest that `text` stands for: whole, its beginning, a bundle's NAME, or NAME@VERSION."""
    if ids.SHA256.fullmatch(text):
        return Digest(text)
    known = client.bundles()
    called = [each.digest for each in known if text in {each.name, f"{each.name}@{each.version}"}]
    start = text.removeprefix("sha256:") if called else _long_enough(text.removeprefix("sha256:"), "a digest")
    begun = [each.digest for each in known if each.digest.removeprefix("sha256:").startswith(start)]
    return Digest(_only(text, sorted({*called, *begun}), "bundle", "see `tarmak bundle list`"))


def run_named(client: Client, text: str) -> RunId:
    """Return the run's id that `text` (whole, or a part of it) stands for."""
    if ids.UUID.fullmatch(text):
        return RunId(text)
    part = _long_enough(text, "a run's id")
    fitting = [run.id for run in client.runs((("limit", SEARCHED_RUNS),)) if part in run.id]
    return RunId(_only(text, fitting, "run", "see `tarmak run list`"))


def rollout_named(text: str) -> RolloutId:
    """Return the rollout's id that `text` (`r-7`, or its number alone) stands for."""
    try:
        return ids.rollout_id(text if not text.isdecimal() else f"r-{text}")
    except InvalidIdError as error:
        raise usage(
            f"{text!r} is no rollout", action="give its id, such as r-7; see `tarmak rollout list`"
        ) from error


def instance_named(text: str) -> InstanceId:
    """Return an instance's id; StopError (usage) for what can't be one."""
    try:
        return ids.instance_id(text)
    except InvalidIdError as error:
        raise usage(str(error), action="see `tarmak instances`") from error


def rollout_meant(client: Client, text: str | None) -> RolloutId:
    """Return the rollout that is named, or else the only one that has not ended, or else the newest."""
    if text is not None:
        return rollout_named(text)
    found = client.rollouts((("limit", SEARCHED_ROLLOUTS),))
    meant = [each for each in found if not each.state.is_final] or found[:1]
    names = [each.id for each in meant if each.id is not None]
    if len(names) > 1:
        raise usage(f"{len(names)} rollouts are under way: {', '.join(names)}", action="name one of them")
    if not names:
        raise StopError(Code.FAILED, "there are no rollouts", action="begin one with `tarmak upgrade`")
    return names[0]


def _long_enough(text: str, what: str) -> str:
    if len(text) < LEAST:
        raise usage(f"{text!r} is too short for {what}", action=f"give at least {LEAST} characters of it")
    return text


def _only(text: str, fitting: Sequence[str], what: str, action: str) -> str:
    if len(fitting) == 1:
        return fitting[0]
    if fitting:
        raise usage(f"{text!r} fits {len(fitting)} {what}s", action="give more of it")
    raise StopError(Code.FAILED, f"no {what} is known as {text!r}", action=action)
