"""How often something may be done."""

from datetime import timedelta

from orchestrator.domain.allowance import Allowance, Allowances
from tests.unit.orchestrator.domain.playbook import NOW


def test_an_allowance_fills_again_with_time() -> None:
    """So many at once, then so many a second, each key by itself."""
    knocks = Allowances(Allowance(burst=2, per_s=0.5), most=2)
    assert [knocks.take("a", NOW) for _ in range(3)] == [True, True, False]
    assert knocks.take("b", NOW)
    assert not knocks.take("a", NOW + timedelta(seconds=1))
    assert knocks.take("a", NOW + timedelta(seconds=2))
    assert not knocks.take("a", NOW - timedelta(hours=1)), "a clock that is set back fills nothing"


def test_who_was_unseen_for_longest_is_forgotten() -> None:
    """What is remembered has a bound, whoever knocks."""
    knocks = Allowances(Allowance(burst=1, per_s=0), most=2)
    assert all(knocks.take(key, NOW) for key in "abc")
    assert knocks.take("a", NOW)
    assert not knocks.take("c", NOW)
