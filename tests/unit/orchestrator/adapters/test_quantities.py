"""Kubernetes' quantities are read as its own grammar has them, and rounded up."""

from fractions import Fraction

import pytest

from orchestrator.adapters.kubernetes.quantities import bytes_of, milli_of, value_of


@pytest.mark.parametrize(
    ("raw", "value"),
    [
        ("0", 0),
        ("64", 64),
        ("1.5", Fraction(3, 2)),
        (".5", Fraction(1, 2)),
        ("5.", 5),
        ("100m", Fraction(1, 10)),
        ("1u", Fraction(1, 10**6)),
        ("1n", Fraction(1, 10**9)),
        ("2k", 2000),
        ("1M", 10**6),
        ("1G", 10**9),
        ("1T", 10**12),
        ("1P", 10**15),
        ("1E", 10**18),
        ("1Ki", 2**10),
        ("1.5Gi", 3 * 2**29),
        ("1Ei", 2**60),
        ("2e3", 2000),
        ("2E3", 2000),
        ("1e-3", Fraction(1, 1000)),
        ("-1", -1),
        (7, 7),
        (0.5, Fraction(1, 2)),
    ],
)
def test_every_form_has_its_value(raw: str | float, value: Fraction | int) -> None:
    """Decimal and binary suffixes, exponents, plain numbers."""
    assert value_of(raw) == value


@pytest.mark.parametrize("raw", ["", "much", "1 Gi", "1KiB", "1ki", "--1", "1e99", "1" * 50, "0x10", "1e"])
def test_what_is_none_is_refused(raw: str) -> None:
    """Nothing is guessed, and nothing that would be huge is worked out."""
    with pytest.raises(ValueError, match="is no quantity"):
        value_of(raw)


def test_amounts_are_rounded_up() -> None:
    """Half a thousandth of a core is one, half a byte too: less than is needed would not do."""
    assert (milli_of("100m"), milli_of("1500u"), milli_of(2)) == (100, 2, 2000)
    assert (bytes_of("1Ki"), bytes_of("500m")) == (1024, 1)
