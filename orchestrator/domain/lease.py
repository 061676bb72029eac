"""How long a lease runs, and who does what in that time, in seconds.

A leader that dies right after a renewal is followed at the latest 6 + 1 s later, or 1 s more if a transaction
that it left open has to be ended first (`adapters/sql/lease.py`); the rest of the 10 s that a takeover may
take is for the new leader's start. A leader can have a renewal fail, or wait for it for 3 s, and lead on.
"""

from typing import Final

LEASE_S: Final = 6.0
"""How long a lease runs that is not renewed, by the database's clock."""

RENEW_S: Final = 2.0
"""How long a leader waits after a renewal before the next."""

AGAIN_S: Final = 0.5
"""How long it waits after one that failed."""

ASK_S: Final = 1.0
"""How long a daemon that stands by waits before it asks again, give or take a tenth of it."""

GRACE_S: Final = 1.0
"""How long before its lease ends, by its own clock, a leader stops that could not renew it."""
