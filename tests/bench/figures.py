"""Figures that mean something on a noisy machine: ours and a reference's, taken in turn in one run.

A single time says little where other work shares the cores, so each figure is a pair of medians and
their ratio; the machine and the number of runs stand beside it.
"""

import os
import platform
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One metric: medians of `runs` measurements each, `ratio` is ours by the reference's."""

    bench: str
    metric: str
    unit: str
    ours: float
    reference: float
    reference_name: str
    ratio: float
    runs: int
    machine: str


def figure(
    bench: str, metric: str, *, unit: str, ours: Sequence[float], reference: Sequence[float], name: str
) -> Figure:
    """Return the figure of two series measured in turn."""
    mine, other = statistics.median(ours), statistics.median(reference)
    return Figure(
        bench=bench,
        metric=metric,
        unit=unit,
        ours=round(mine, 4),
        reference=round(other, 4),
        reference_name=name,
        ratio=round(mine / other, 2),
        runs=len(ours),
        machine=machine(),
    )


def machine() -> str:
    """Say on what this was measured."""
    return f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}"


def as_maps(figures: Sequence[Figure]) -> list[dict[str, Any]]:
    """Return the figures as JSON's values."""
    return [asdict(each) for each in figures]


def table(figures: Sequence[Figure]) -> str:
    """Return the figures as aligned text."""
    head = ("bench", "metric", "ours", "reference", "ratio", "runs", "against")
    rows = [
        (
            each.bench,
            each.metric,
            f"{each.ours:g} {each.unit}",
            f"{each.reference:g} {each.unit}",
            f"{each.ratio:g}",
            str(each.runs),
            each.reference_name,
        )
        for each in figures
    ]
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    form = "  ".join(f"{{:{width}}}" for width in widths)
    return "\n".join(form.format(*row).rstrip() for row in (head, *rows))
