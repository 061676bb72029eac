"""A rollout's strategy on the command line: flags, the file of `--strategy`, and both together.

Flags go before the file. Both are plain data until all of it is checked at once, with the very rules of the
orchestrator, so that a wrong flag is a usage error that names the flag, and nothing was asked of anyone.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final, TypeAlias

import typer

from orchestrator.cli.stop import StopError, usage

Plain: TypeAlias = dict[str, Any]

DrainTimeout: TypeAlias = Annotated[
    str | None, typer.Option("--drain-timeout", metavar="TIME", help="Give a drain up after so long [10m].")
]
EmptyDir: TypeAlias = Annotated[
    bool | None,
    typer.Option(
        "--delete-emptydir-data/--keep-emptydir-data", help="Evict pods with an emptyDir, whose data is lost."
    ),
]
Force: TypeAlias = Annotated[
    bool | None, typer.Option("--force/--no-force", help="Evict pods that nothing will start again.")
]
Daemonsets: TypeAlias = Annotated[
    bool | None,
    typer.Option("--ignore-daemonsets/--no-ignore-daemonsets", help="Leave pods of DaemonSets [yes]."),
]
Grace: TypeAlias = Annotated[
    str | None, typer.Option("--grace-period", metavar="TIME", help="A pod's time to end [its own].")
]
SkipWait: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--skip-wait-for-delete-timeout", metavar="TIME", help="Leave pods that have been ending for longer."
    ),
]
Critical: TypeAlias = Annotated[
    bool | None, typer.Option("--critical/--no-critical", help="Evict system-node-critical pods too.")
]
DisableEviction: TypeAlias = Annotated[
    bool | None,
    typer.Option("--disable-eviction/--no-disable-eviction", help="Delete pods, past every budget."),
]
OnDrainTimeout: TypeAlias = Annotated[
    str | None,
    typer.Option("--on-drain-timeout", metavar="WHAT", help="uncordon, keep or delete [uncordon]."),
]
DeleteSelectors: TypeAlias = Annotated[
    list[str],
    typer.Option(
        "--delete-selector",
        metavar="LABELS",
        help="With --on-drain-timeout delete: these pods; repeat for more.",
        default_factory=list,
        show_default=False,
    ),
]

FLAGS: Final = {
    "max_unavailable": "--max-unavailable",
    "canary": "--canary",
    "soak": "--soak",
    "canary_soak": "--canary-soak",
    "max_failures": "--max-failures",
    "min_finished": "--min-finished",
    "progress_deadline": "--progress-deadline",
    "health.passes": "--health-passes",
    "health.interval": "--health-interval",
    "health.timeout": "--health-timeout",
    "drain.timeout": "--drain-timeout",
    "drain.ignore_daemonsets": "--ignore-daemonsets",
    "drain.delete_emptydir_data": "--delete-emptydir-data",
    "drain.force": "--force",
    "drain.grace_period": "--grace-period",
    "drain.skip_wait_for_delete_timeout": "--skip-wait-for-delete-timeout",
    "drain.critical": "--critical",
    "drain.disable_eviction": "--disable-eviction",
    "drain.on_timeout": "--on-drain-timeout",
    "drain.delete_selectors": "--delete-selector",
    "on_failure": "--on-failure",
    "replace": "--replace",
    "window": "--window",
    "window.days": "--window",
    "window.begin": "--window",
    "window.end": "--window",
    "window.zone": "--window",
    "run_timeout": "--run-timeout",
}
ALWAYS: Final = "always"
DAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
WINDOW_HINT: Final = 'write it as "mon-fri 22:00-04:00 Europe/Berlin", or always'


def given(flags: Mapping[str, object]) -> Plain:
    """Return flags, by their fields' paths, as plain data; what is None or an empty list was not given."""
    plain: Plain = {}
    for path, value in flags.items():
        if value is None or value == []:
            continue
        group, dot, name = path.partition(".")
        if dot:
            plain.setdefault(group, {})[name] = value
        else:
            plain[group] = value
    return plain


def without_drain(plain: Plain) -> Plain:
    """Return the flags' strategy with no drain; StopError (usage) if another flag says how to drain."""
    if "drain" in plain:
        flags = ", ".join(FLAGS[f"drain.{name}"] for name in plain["drain"])
        raise usage(f"--no-drain goes with no flag about draining ({flags})", action="leave either away")
    return {**plain, "drain": "none"}


def window_of(text: str | None) -> Plain:
    """Return what `--window` says as a part of the strategy, an empty one where it is not given."""
    if text is None:
        return {}
    if text == ALWAYS:
        return {"window": None}
    words = text.split()
    days = [] if not words or ":" in words[0] else _days(words.pop(0))
    if not words or words[0].count("-") != 1 or len(words) > 2:  # noqa: PLR2004 - times, and a zone
        raise usage(f"--window: {text!r} is no window", action=WINDOW_HINT)
    begin, _, end = words[0].partition("-")
    zone = {"zone": words[1]} if words[1:] else {}
    return {"window": {"days": days, "begin": begin, "end": end, **zone}}


def _days(text: str) -> list[str]:
    found: list[str] = []
    for part in text.lower().split(","):
        first, dash, last = part.partition("-")
        if first not in DAYS or (dash and last not in DAYS):
            raise usage(f"--window: {part!r} are no days ({', '.join(DAYS)})", action=WINDOW_HINT)
        begin, end = DAYS.index(first), DAYS.index(last if dash else first)
        found += [DAYS[place % 7] for place in range(begin, end + (1 if begin <= end else 8))]
    return found


def checked(flags: Plain, file: Path | None) -> Plain:
    """Return the strategy of flags and file together; StopError (usage) names the flag or the field."""
    from orchestrator.domain.rollout.reading import strategy_from  # noqa: PLC0415 - for these commands alone
    from orchestrator.domain.rollout.strategy import StrategyError  # noqa: PLC0415 - as above

    written = {} if file is None else _read(file)
    try:
        strategy_from(written)
    except StrategyError as error:
        raise usage(
            f"{file}: {error}", action="correct the file; docs/reference/strategy.md has every field"
        ) from error
    whole = together(flags, written)
    try:
        strategy_from(whole)
    except StrategyError as error:
        raise _wrong(error.field, error.reason) from error
    return whole


def checked_drain(flags: Plain) -> Plain:
    """Return the policy of a bare drain; StopError (usage) names the flag."""
    from orchestrator.domain.rollout.reading import drain_from  # noqa: PLC0415 - for these commands alone
    from orchestrator.domain.rollout.strategy import StrategyError  # noqa: PLC0415 - as above

    policy: Plain = flags.get("drain", {})
    try:
        drain_from(policy)
    except StrategyError as error:
        raise _wrong(error.field, error.reason) from error
    return policy


def together(flags: Plain, written: Plain) -> Plain:
    """Return the file's strategy with the flags over it; of health and drain only what a flag says."""
    whole = {**written, **flags}
    for group in ("health", "drain"):
        below, above = written.get(group), flags.get(group)
        if isinstance(below, Mapping) and isinstance(above, Mapping):
            whole[group] = {**below, **above}
    return whole


def _wrong(field: str, reason: str) -> StopError:
    return usage(f"{FLAGS.get(field.partition('[')[0], field)}: {reason}")


def _read(file: Path) -> Plain:
    import yaml  # noqa: PLC0415 - 0.1 s that only `--strategy` shall pay

    try:
        plain = yaml.safe_load(file.read_text())
    except (OSError, UnicodeDecodeError) as error:
        raise usage(f"{file}: {error}", action="give a file of YAML") from error
    except yaml.YAMLError as error:
        raise usage(
            f"{file} is no YAML: {' '.join(str(error).split())}", action="correct the file"
        ) from error
    if plain is None:
        return {}
    if not isinstance(plain, dict):
        raise usage(
            f"{file} holds no mapping of fields", action="begin it with a field, as max_unavailable: 30%"
        )
    return plain
