"""What a wing says as it happens, unnumbered; it may be lost, and nothing depends on it."""

from dataclasses import dataclass
from datetime import datetime
from enum import Enum

from broker import ids
from broker.ids import Boot, MessageId, RunId
from broker.messages import checks
from broker.messages.checks import not_negative, positive


class Level(Enum):
    """How much a log line matters, in Puppet's words."""

    DEBUG = "debug"
    INFO = "info"
    NOTICE = "notice"
    WARNING = "warning"
    ERR = "err"
    ALERT = "alert"
    EMERG = "emerg"
    CRIT = "crit"


@dataclass(frozen=True, slots=True, kw_only=True)
class LogLine:
    """One line that Puppet said: `source` is the resource or part of Puppet, without a trailing newline."""

    at: datetime
    level: Level
    source: str
    message: str
    file: str | None = None
    line: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LogLines:
    """Lines of a run as they are said; may be lost."""

    run: RunId
    lines: tuple[LogLine, ...]

    def __post_init__(self) -> None:
        ids.run_id(self.run)


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """Execution `execution` (from 1) of a run has evaluated `done` of `total` resources; may be lost."""

    run: RunId
    execution: int
    done: int
    total: int
    resource: str = ""

    def __post_init__(self) -> None:
        ids.run_id(self.run)
        positive("execution", self.execution)
        not_negative("done", self.done)
        not_negative("total", self.total)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pong:
    """The answer to a ping (its id is the envelope's `caused_by`), with the wing's clock when it came."""

    boot: Boot
    received_at: datetime

    def __post_init__(self) -> None:
        ids.boot(self.boot)


LiveBody = LogLines | Progress | Pong


@dataclass(frozen=True, slots=True, kw_only=True)
class Live:
    """An unnumbered statement of a wing that nothing depends on, but that a pong counts as a sign of life."""

    id: MessageId
    at: datetime
    caused_by: MessageId | None = None
    body: LiveBody

    def __post_init__(self) -> None:
        checks.envelope(self.id, self.caused_by)
