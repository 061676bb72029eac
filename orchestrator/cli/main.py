"""`tarmak`: the operators' command, and how each of its errors and ends becomes an exit code.

Commands speak HTTP to the daemon and import nothing heavy: a command's module is imported when the command
is given, and what it needs only on some of its ways (Puppet's bundles, Rich's live display) when it goes
there. Errors are at most three lines: what happened, why, and what to do.
"""

import importlib
import os
import sys
from collections.abc import Sequence
from typing import Final

import typer

from orchestrator.cli.output import note, printable
from orchestrator.cli.stop import Code, ReaderGoneError, StopError
from orchestrator.exchange import ClientError, ProblemError, UnreachableError

# Each command's module, in the order of the help.
COMMANDS: Final = {
    "dev": "dev",
    "cluster": "cluster",
    "bundle": "bundle",
    "instances": "fleet",
    "instance": "fleet",
    "ping": "fleet",
    "status": "fleet",
    "plan": "converge",
    "converge": "converge",
    "upgrade": "upgrade",
    "rollout": "rollout",
    "drain": "drain",
    "uncordon": "drain",
    "why": "why",
    "enrol": "enrol",
    "run": "run",
    "events": "events",
}


def program(words: Sequence[str]) -> typer.Typer:
    """Return the program with the command that `words` begin with, or with all if they begin with none."""
    app = typer.Typer(
        name="tarmak",
        no_args_is_help=True,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_by_name)  # without one, Typer takes a lone command for the whole program
    asked = COMMANDS.get(words[0]) if words else None
    for name in dict.fromkeys(COMMANDS.values()) if asked is None else (asked,):
        importlib.import_module(f"orchestrator.cli.{name}").register(app)
    return app


def _by_name() -> None:
    """Converges a fleet of machines with Puppet, and shows how it goes."""


def main() -> None:
    """Run the program, and exit as the table in the documentation says."""
    sys.exit(main_with(sys.argv[1:]))


def main_with(words: Sequence[str]) -> int:
    """Run the command that `words` are and return its exit code; whatever is wrong is said on stderr."""
    try:
        code = program(words)(list(words), standalone_mode=False, prog_name="tarmak")
    except ReaderGoneError:
        # What is left in the buffer must not be complained about again when Python ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return Code.DONE
    except (StopError, ClientError, typer.TyperException, typer.Abort, KeyboardInterrupt) as error:
        return Code.USAGE if _helped(error) else _say(_as_stop(error))
    return code if isinstance(code, int) else Code.DONE


def _as_stop(error: BaseException) -> StopError:
    match error:
        case StopError():
            return error
        case ClientError():
            return _client_stop(error)
        case typer.TyperException():
            return _usage_stop(error)
        case _:
            return StopError(Code.INTERRUPTED, "interrupted")


def _client_stop(error: ClientError) -> StopError:
    match error:
        case UnreachableError():
            return StopError(
                Code.UNREACHABLE,
                f"the orchestrator at {error.url} can't be reached",
                why=error.reason,
                action="see whether tarmak-orchestrator runs there, or give another --url",
            )
        case ProblemError():
            return StopError(Code.FAILED, error.title, why=error.detail, action=error.action)
        case _:
            return StopError(Code.FAILED, str(error))


def _usage_stop(error: typer.TyperException) -> StopError:
    context = getattr(error, "ctx", None)
    command = "tarmak" if context is None else context.command_path
    words = getattr(error, "format_message", error.__str__)()
    return StopError(Code.USAGE, words, action=f"see `{command} --help`")


def _helped(error: BaseException) -> bool:
    """Print the help that a command without any words is answered with, as it is."""
    words = getattr(error, "format_message", str)()
    if not (isinstance(error, typer.TyperException) and words.startswith("Usage: ")):
        return False
    note(words)
    return True


def _say(stop: StopError) -> int:
    note(f"tarmak: {printable(stop.what)}")
    if stop.why:
        note(f"  why: {printable(stop.why)}")
    if stop.action:
        note(f"  do:  {printable(stop.action)}")
    return stop.code


if __name__ == "__main__":
    main()
