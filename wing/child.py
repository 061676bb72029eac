"""What the children that carry out orders have in common: one errand in, facts and one end out.

Such a child lives for one order. It ends when its parent does, with all that it has started, since its
standard input closes then; SIGTERM asks it to stop in order and say how far it came.
"""

import asyncio
import os
import signal
import sys
import threading
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Final

from broker.messages import OrderFact
from puppet_bridge.processes import end_tree, identify
from wing.errand import Errand, OrderEnd, line_errand, word_line
from wing.orders import bounded

ORPHANED: Final = 3

Tell = Callable[[OrderFact], None]
CarryOut = Callable[[Errand, Tell, asyncio.Event], Awaitable[OrderEnd]]


def main(carry_out: CarryOut) -> int:
    """Read one errand, have it carried out, and say how that ended."""
    errand = line_errand(sys.stdin.buffer.readline())
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _say(word_line(asyncio.run(_carried_out(carry_out, errand))))
    return 0


def utc_now() -> datetime:
    """Return the time, aware."""
    return datetime.now(UTC)


async def _carried_out(carry_out: CarryOut, errand: Errand) -> OrderEnd:
    cancel = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, cancel.set)
    return await carry_out(errand, _tell, cancel)


def _tell(fact: OrderFact) -> None:
    _say(word_line(bounded(fact)))


def _say(line: bytes) -> None:
    sys.stdout.buffer.write(line)
    sys.stdout.buffer.flush()


def _end_with_parent() -> None:
    # The parent keeps our standard input open and writes no more: its end is the parent's.
    os.read(sys.stdin.fileno(), 1)
    own = identify(os.getpid())
    if own is not None:
        asyncio.run(end_tree(own, grace_s=0))
    os._exit(ORPHANED)
