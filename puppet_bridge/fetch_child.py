"""The short-lived child that fetches one bundle and unpacks it; see `fetch` for what it speaks."""

import asyncio
import json
import os
import sys
import threading
import time
from pathlib import Path
from typing import Final

from puppet_bridge.archive import Limits
from puppet_bridge.cache import BundleCache
from puppet_bridge.errors import BridgeError, StoreUrlError
from puppet_bridge.fetch import FetchRequest
from puppet_bridge.stores import Progress, RetryPolicy, TlsFiles, open_source, split_bundle_url

PROGRESS_EVERY_S: Final = 0.2
LONGEST_REASON: Final = 8000
ORPHANED: Final = 3
# Its server may be restarting, and a run that could not fetch needs a person: two minutes or so.
PATIENT: Final = RetryPolicy(attempts=20, longest_pause_s=15.0)


def main() -> int:
    """Read one request, carry it out, and answer it."""
    request = FetchRequest.from_json(sys.stdin.buffer.readline())
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        asyncio.run(fetch(request, _progress()))
    except (BridgeError, OSError) as error:
        _say(failed=str(error)[:LONGEST_REASON])
        return 1
    _say(done=True)
    return 0


async def fetch(request: FetchRequest, progress: Progress) -> Path:
    """Fetch the bundle, unpack it into the cache and return its directory; raises BridgeError or OSError."""
    store, named = split_bundle_url(request.url)
    if named != request.digest:
        raise StoreUrlError(url=request.url, reason=f"names another bundle than {request.digest}")
    limits = Limits(size=request.size)
    cache = BundleCache(Path(request.cache))
    with cache.aside() as aside:
        archive = aside / "archive"
        async with open_source(store, tls=_tls(request), retry=PATIENT) as source:
            await source.get(request.digest, archive, limits=limits, progress=progress)
        return cache.unpack(archive, request.digest, limits)


def _tls(request: FetchRequest) -> TlsFiles | None:
    if request.tls is None:
        return None
    files = request.tls
    return TlsFiles(ca=Path(files.ca), certificate=Path(files.certificate), key=Path(files.key))


def _progress() -> Progress:
    """Return a listener that says a few times a second how far the transfer is, and surely its end."""
    said_at = 0.0

    def progress(received: int, total: int | None) -> None:
        nonlocal said_at
        now = time.monotonic()
        if received == total or now - said_at >= PROGRESS_EVERY_S:
            said_at = now
            _say(received=received, total=total)

    return progress


def _say(**words: object) -> None:
    sys.stdout.write(json.dumps(words) + "\n")
    sys.stdout.flush()


def _end_with_parent() -> None:
    # The parent keeps our standard input open and writes no more: its end is the parent's.
    os.read(sys.stdin.fileno(), 1)
    os._exit(ORPHANED)


if __name__ == "__main__":
    sys.exit(main())
