"""Short names to whole ones: a digest's beginning or any part of a run's id, where only one fits."""

from collections.abc import Sequence
from typing import Final

from broker import ids
from broker.ids import Digest, RunId
from orchestrator.cli.stop import Code, StopError, usage
from orchestrator.client import Client

LEAST: Final = 4
SEARCHED_RUNS: Final = "10000"


def bundle_named(client: Client, text: str) -> Digest:
    """Return the digest that `text` (whole, or a beginning with or without `sha256:`) stands for."""
    if ids.SHA256.fullmatch(text):
        return Digest(text)
    start = _long_enough(text.removeprefix("sha256:"), "a digest")
    known = [bundle.digest for bundle in client.bundles()]
    fitting = [digest for digest in known if digest.removeprefix("sha256:").startswith(start)]
    return Digest(_only(text, fitting, "bundle", "see `tarmak bundle list`"))


def run_named(client: Client, text: str) -> RunId:
    """Return the run's id that `text` (whole, or a part of it) stands for."""
    if ids.UUID.fullmatch(text):
        return RunId(text)
    part = _long_enough(text, "a run's id")
    fitting = [run.id for run in client.runs((("limit", SEARCHED_RUNS),)) if part in run.id]
    return RunId(_only(text, fitting, "run", "see `tarmak run list`"))


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
