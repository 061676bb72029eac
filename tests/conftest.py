"""Settings that hold for every suite."""

import asyncio

import pytest
from hypothesis import HealthCheck, settings

# No test asserts how long something takes: a busy machine must not turn a suite red.
settings.register_profile("tarmak", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("tarmak")

# pytest-asyncio asks for the current event loop before its own; where there never was one, Python 3.11 and
# 3.12 make one for it that nobody closes, and that warning, an error here, would fail the whole run.
asyncio.set_event_loop(None)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let a simulation be replayed, or more of them be played."""
    group = parser.getgroup("simulation")
    group.addoption("--seed", type=int, metavar="N", help="play this one seed, and tell all that happens")
    group.addoption("--seeds", type=int, metavar="COUNT", help="play so many seeds")
    group.addoption("--first", type=int, metavar="N", help="begin a soak's days with this seed")
