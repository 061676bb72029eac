"""`python -m orchestrator.infrastructure.local`: what Terraform calls for each host, and faults for people.

`up`, `down` and `status` take one host as JSON from the environment variable TARMAK_HOST (description.py).
Results go to stdout, progress and errors to stderr. Exit: 0 done; 1 what was asked did not succeed; 2 usage.
"""

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from orchestrator.infrastructure.local import host
from orchestrator.infrastructure.local.description import VARIABLE, Description, parse
from orchestrator.infrastructure.local.errors import LocalError
from orchestrator.infrastructure.local.faults import Host, Lab
from orchestrator.infrastructure.local.image import image
from orchestrator.infrastructure.local.programs import demand

FAILED: Final = 1
INTERRUPTED: Final = 130

Words = argparse.Namespace


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the words say; returns the exit code."""
    words = _parser().parse_args(arguments)
    try:
        words.do(words)
    except LocalError as error:
        for line in filter(None, (error.what, error.why, error.action)):
            tell(line)
        return FAILED
    except KeyboardInterrupt:
        return INTERRUPTED
    return 0


def tell(text: str) -> None:
    """Say something to whoever waits."""
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def _up(_: Words) -> None:
    host.up(_described(), tell)


def _down(_: Words) -> None:
    host.down(host.places_of(_described()))


def _status(words: Words) -> None:
    places = (
        [lab.places for lab in Lab.at(words.home).hosts()] if words.home else [host.places_of(_described())]
    )
    sys.stdout.writelines(f"{host.status(one).to_json()}\n" for one in places)


def _start(words: Words) -> None:
    for one in Lab.at(words.home).hosts():
        one.boot(tell)


def _image(_: Words) -> None:
    demand()
    sys.stdout.write(f"{image(tell).directory}\n")


def _described() -> Description:
    text = os.environ.get(VARIABLE)
    if text is None:
        raise LocalError(
            what=f"{VARIABLE} is not set",
            why="it says, as JSON, which host is meant",
            action="call this through Terraform, or see docs/operations/lab.md",
        )
    return parse(text)


def _each(deed: Callable[[Host], None]) -> Callable[[Words], None]:
    def do(words: Words) -> None:
        lab = Lab.at(words.home)
        for one in [lab.host(name) for name in words.hosts]:
            deed(one)

    return do


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m orchestrator.infrastructure.local", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    commands.add_parser("up", help="have the host there and answering").set_defaults(do=_up)
    commands.add_parser("down", help="have nothing left of the host").set_defaults(do=_down)
    commands.add_parser("image", help="have the root image in the cache, and say where").set_defaults(
        do=_image
    )
    start = commands.add_parser(
        "start", help="have all hosts of a cluster run, as after this machine was rebooted"
    )
    start.add_argument("--home", type=Path, required=True, help="the cluster's home")
    start.set_defaults(do=_start)
    status = commands.add_parser("status", help="what is there, one JSON object a line")
    status.add_argument("--home", type=Path, help="all hosts of the cluster whose home this is")
    status.set_defaults(do=_status)
    fault = commands.add_parser("fault", help="what happens to hosts on purpose")
    _add_faults(fault.add_subparsers(required=True, metavar="FAULT"))
    return parser


def _add_faults(faults: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    _on_hosts(faults, "power-off", _each(Host.power_off), "take their power away")
    _on_hosts(faults, "boot", _each(lambda one: one.boot(tell)), "give them power")
    _on_hosts(faults, "reboot", _each(Host.reboot), "have them reboot in order")
    _on_hosts(faults, "fill-disk", _each(Host.fill_disk), "leave no byte free on their disks")
    _on_hosts(faults, "free-disk", _each(Host.free_disk), "have their disks as before")
    _on_hosts(faults, "lose-broker-disk", _each(Host.lose_broker_disk), "have the broker lose all it stored")
    clock = _on_hosts(faults, "clock", _move_clocks, "move a service's clock")
    clock.add_argument(
        "--by", type=float, required=True, metavar="SECONDS", help="ahead, or behind with a minus; 0"
    )
    clock.add_argument("--unit", default="wing.service", help="whose (default: wing.service)")
    parted = _on_hosts(faults, "partition", _partition, "have them not hear the others")
    parted.add_argument(
        "--from", dest="others", nargs="+", default=(), metavar="HOST", help="default: all the rest"
    )
    loss = _on_hosts(faults, "loss", _lose, "have packets from and to them get lost")
    loss.add_argument("--percent", type=float, required=True, help="how many; 0 ends it")
    delay = _on_hosts(faults, "delay", _delay, "have packets to them arrive late")
    delay.add_argument("--ms", type=int, required=True, help="how late; 0 ends it")
    heal = faults.add_parser("heal", help="end everything that is wrong with the network")
    heal.add_argument("--home", type=Path, required=True, help="the cluster's home")
    heal.set_defaults(do=lambda words: Lab.at(words.home).heal())


def _on_hosts(
    faults: "argparse._SubParsersAction[argparse.ArgumentParser]",
    name: str,
    do: Callable[[Words], None],
    text: str,
) -> argparse.ArgumentParser:
    parser = faults.add_parser(name, help=text)
    parser.add_argument("--home", type=Path, required=True, help="the cluster's home")
    parser.add_argument("hosts", nargs="+", metavar="HOST")
    parser.set_defaults(do=do)
    return parser


def _move_clocks(words: Words) -> None:
    _each(lambda one: one.move_clock(words.by, words.unit))(words)


def _partition(words: Words) -> None:
    Lab.at(words.home).partition(*words.hosts, others=words.others)


def _lose(words: Words) -> None:
    for name in words.hosts:
        Lab.at(words.home).loss(name, words.percent)


def _delay(words: Words) -> None:
    for name in words.hosts:
        Lab.at(words.home).delay(name, words.ms)


if __name__ == "__main__":
    sys.exit(main())
