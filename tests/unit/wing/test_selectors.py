"""Label selectors mean what they mean to kubectl."""

import pytest

from wing.selectors import SelectorError, parse

LABELS = {"app": "web", "tier": "front", "example.test/kind": "x"}


@pytest.mark.parametrize(
    ("text", "fits"),
    [
        ("app=web", True),
        ("app == web", True),
        ("app=db", False),
        ("app!=db", True),
        ("app!=web", False),
        ("absent!=x", True),
        ("app", True),
        ("absent", False),
        ("!absent", True),
        ("!app", False),
        ("tier in (front, back)", True),
        ("tier in (back)", False),
        ("tier notin (back)", True),
        ("absent notin (back)", True),
        ("tier notin (front,back)", False),
        ("example.test/kind=x", True),
        ("app=web,tier in (front,back),!absent", True),
        ("app=web,tier=back", False),
        ("empty=", False),
    ],
)
def test_a_selector(text: str, *, fits: bool) -> None:
    """All its requirements must hold."""
    assert parse(text).fits(LABELS) is fits


@pytest.mark.parametrize("text", ["", " ", "=web", "app=web,", "app=a b", "app in web", "app=(x)", "a b"])
def test_what_is_none_is_refused(text: str) -> None:
    """Nothing is guessed where pods would be deleted for it, and nothing selects everything."""
    with pytest.raises(SelectorError):
        parse(text)
