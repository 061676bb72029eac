"""One execution of Puppet: what is ordered, how it ended, and who is told meanwhile.

These are the words between the loop of a run (`converge`), its decisions (`outcome`) and whatever really
starts Puppet (`runner`).
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Protocol

from broker.ids import ClusterName, InstanceId, Role, RunId
from broker.messages import LogLine
from puppet_bridge.report import RunReport


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """The structured fact `tarmak`: what a manifest sees of its instance."""

    instance: InstanceId
    role: Role
    pool: str
    cluster: ClusterName
    labels: Mapping[str, str] = field(default_factory=dict)
    root: str = "/"


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessIdentity:
    """A process told apart from a later one of its number by its start, in clock ticks since boot."""

    pid: int
    start: int
    group: int


class Ending(Enum):
    """How an execution ended."""

    EXITED = "exited"
    TIMED_OUT = "timed out"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """Apply the unpacked bundle at `bundle`; the execution is number `number` (from 1) of its run."""

    run: RunId
    number: int
    bundle: Path
    noop: bool
    timeout_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Execution:
    """How an order was carried out.

    `exit_code` is None if Puppet never started, negative for a signal. `report` is None where Puppet wrote
    none that can be read; `fault` then says why. `errors` are the first that Puppet logged, `skips` counts
    its words that a dependency failed. `at_resource` is the last that it began with, `last_words` what it
    said outside its log. `ended` names the processes that had to be ended.
    """

    noop: bool
    ending: Ending
    exit_code: int | None
    took_s: float
    report: RunReport | None = None
    fault: str = ""
    errors: tuple[LogLine, ...] = ()
    skips: int = 0
    at_resource: str = ""
    last_words: str = ""
    ended: tuple[str, ...] = ()


class Watcher(Protocol):
    """Who is told of an execution while it goes on."""

    async def process_started(self, process: ProcessIdentity) -> None:
        """Note the process for good; Puppet itself starts in it only when this has returned."""

    def waits(self, reason: str) -> None:
        """Note that someone else holds Puppet's lock, named in `reason`."""

    def said(self, line: LogLine) -> None:
        """Note a line of Puppet's log."""

    def progressed(self, execution: int, done: int, total: int, resource: str) -> None:
        """Note that execution `execution` (from 1) has come to resource `done` of `total`."""


class Puppet(Protocol):
    """Whatever carries out an order."""

    async def execute(self, order: Order, watcher: Watcher, cancel: asyncio.Event) -> Execution:
        """Carry out `order`, ended early when `cancel` is set; raises PuppetError if that can't begin.

        Whatever happens, no process of it is left when this returns or raises.
        """
