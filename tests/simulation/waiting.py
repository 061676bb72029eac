"""Waiting for one of two things, as scripted work does all the time."""

import asyncio
from collections.abc import Coroutine


async def unless(
    cancel: asyncio.Event, awaited: Coroutine[None, None, object], *, within_s: float | None = None
) -> bool:
    """Return whether `awaited` came to its end before `cancel` was set or `within_s` had passed."""
    async with asyncio.TaskGroup() as tasks:
        doing = tasks.create_task(awaited, name="work.doing")
        watching = tasks.create_task(cancel.wait(), name="work.cancel")
        await asyncio.wait({doing, watching}, timeout=within_s, return_when=asyncio.FIRST_COMPLETED)
        doing.cancel()
        watching.cancel()
    return not doing.cancelled()


async def slept(cancel: asyncio.Event, seconds: float) -> bool:
    """Return whether `seconds` had passed before `cancel` was set."""
    try:
        async with asyncio.timeout(seconds):
            await cancel.wait()
    except TimeoutError:
        return True
    return False
