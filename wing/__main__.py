"""`wing`: the agent's program, wired by hand here and nowhere else.

Exit codes: 0 stopped in order, or converged; 1 what was asked did not succeed; 2 usage or configuration.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from wing.config import DEFAULT_PATH, ConfigError
from wing.logs import configure
from wing.ports import JournalUnwritableError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program; returns its exit code."""
    asked = _parser().parse_args(sys.argv[1:] if arguments is None else arguments)
    configure(asked.log_level)
    try:
        return _dispatched(asked)
    except (ConfigError, JournalUnwritableError) as error:
        print(f"wing: {error}", file=sys.stderr)  # noqa: T201 - to a person, before anything runs
        return 2


def _dispatched(asked: argparse.Namespace) -> int:
    # Each command imports only its own half: a wing at rest carries nothing that it doesn't need.
    match asked.command:
        case "converge":
            from wing.bootstrap import converge  # noqa: PLC0415

            return converge(asked)
        case "join":
            from wing.join import join  # noqa: PLC0415

            return join(asked)
        case "status":
            from wing.status import status  # noqa: PLC0415

            return status(asked.config)
        case _:
            from wing.daemon import run_and_renew  # noqa: PLC0415

            return run_and_renew(asked.config)


def _parser() -> argparse.ArgumentParser:
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument(
        "--config",
        type=Path,
        default=argparse.SUPPRESS,
        metavar="FILE",
        help=f"the wing's configuration [{DEFAULT_PATH}]",
    )
    common.add_argument(
        "--log-level", default=argparse.SUPPRESS, choices=("debug", "info", "warning", "error"), help="[info]"
    )
    parser = argparse.ArgumentParser(prog="wing", description="The agent of Tarmak.", parents=[common])
    parser.set_defaults(config=DEFAULT_PATH, log_level="info")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    commands.add_parser("run", parents=[common], help="be this instance's agent [default]")
    converge = commands.add_parser("converge", parents=[common], help="converge once, without any mesh")
    converge.add_argument(
        "--bundle", required=True, metavar="URL", help="a file, or file://, https://, s3://"
    )
    converge.add_argument("--digest", metavar="sha256:…", help="what the bundle must be")
    converge.add_argument("--noop", action="store_true", help="only say what would change")
    converge.add_argument("--role", default="bastion", help="without a configuration: its role [bastion]")
    converge.add_argument("--instance", help="without a configuration: its id [the host's name]")
    converge.add_argument(
        "--state-dir", type=Path, default=Path("/var/lib/tarmak/wing"), metavar="DIR", help="without one"
    )
    converge.add_argument(
        "--root", type=Path, default=Path("/"), metavar="DIR", help="without one: what it manages [/]"
    )
    join = commands.add_parser("join", parents=[common], help="become an instance, by a token")
    join.add_argument(
        "--file",
        type=Path,
        default=Path("/etc/tarmak/join.toml"),
        metavar="FILE",
        help="url and token [%(default)s]",
    )
    commands.add_parser("status", parents=[common], help="what this wing remembers")
    return parser


if __name__ == "__main__":
    sys.exit(main())
