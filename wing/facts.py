"""The facts of one wing, numbered without a hole and chained, and which of them no ack has covered yet.

Pure. A fact becomes bytes here, before it is journaled: the bytes are what is hashed into the next fact, what
is signed, and what every replay sends again, so a fact can never be told in two versions.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime

from broker.codec import encode
from broker.ids import Boot, MessageId
from broker.messages import (
    CHAIN_START,
    Accepted,
    Backlog,
    Cancelled,
    Fact,
    FactBody,
    Failed,
    Interrupted,
    Succeeded,
    Truncated,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class FactRef:
    """Where a fact stands: its number within its boot."""

    boot: Boot
    seq: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """A fact as it is journaled; `answers` names the command that it accepts or ends, None for the others.

    What answers a command is kept to be repeated. It is `lasting`, never truncated, and so is what tells of
    truncated facts: without it the gap that they left could never be explained.
    """

    ref: FactRef
    payload: bytes
    answers: MessageId | None
    lasting: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class FactLog:
    """The chain of one boot: the number of its newest fact (0 before the first) and that payload's hash."""

    boot: Boot
    seq: int = 0
    head: bytes = CHAIN_START

    def append(
        self, body: FactBody, *, fact_id: MessageId, at: datetime, caused_by: MessageId | None
    ) -> tuple["FactLog", Recorded]:
        """Return the chain with one fact more, and that fact.

        Raises MessageTooLargeError for a body that the mesh can't carry; the chain is as before then.
        """
        seq = self.seq + 1
        fact = Fact(
            id=fact_id, at=at, caused_by=caused_by, boot=self.boot, seq=seq, prev=self.head, body=body
        )
        payload = encode(fact)
        command = answered(body)
        recorded = Recorded(
            ref=FactRef(boot=self.boot, seq=seq),
            payload=payload,
            answers=command,
            lasting=command is not None or isinstance(body, Truncated),
        )
        return replace(self, seq=seq, head=hashlib.sha256(payload).digest()), recorded


def answered(body: FactBody) -> MessageId | None:
    """Return the command that `body` accepts or ends, None if it does neither."""
    match body:
        case Accepted() | Succeeded() | Failed() | Cancelled() | Interrupted():
            return body.command
        case _:
            return None


def spans(refs: Iterable[FactRef]) -> tuple[Backlog, ...]:
    """Return the unbroken stretches of `refs`, which come by boot and rising number."""
    found: list[Backlog] = []
    for ref in refs:
        if found and found[-1].boot == ref.boot and found[-1].last + 1 == ref.seq:
            found[-1] = replace(found[-1], last=ref.seq)
        else:
            found.append(Backlog(boot=ref.boot, first=ref.seq, last=ref.seq))
    return tuple(found)


def extended(backlog: tuple[Backlog, ...], ref: FactRef) -> tuple[Backlog, ...]:
    """Return `backlog` with the newest fact, which is the last of its boot."""
    if backlog and backlog[-1].boot == ref.boot and backlog[-1].last + 1 == ref.seq:
        return (*backlog[:-1], replace(backlog[-1], last=ref.seq))
    return (*backlog, Backlog(boot=ref.boot, first=ref.seq, last=ref.seq))


def without(backlog: tuple[Backlog, ...], gone: Backlog) -> tuple[Backlog, ...]:
    """Return `backlog` less the facts in `gone`; what stands on both sides of them becomes two stretches."""
    left: list[Backlog] = []
    for stretch in backlog:
        if stretch.boot != gone.boot or stretch.last < gone.first or gone.last < stretch.first:
            left.append(stretch)
            continue
        if stretch.first < gone.first:
            left.append(replace(stretch, last=gone.first - 1))
        if gone.last < stretch.last:
            left.append(replace(stretch, first=gone.last + 1))
    return tuple(left)
