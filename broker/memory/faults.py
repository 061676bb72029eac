"""How badly a mesh in memory behaves, decided by a seed.

A network loses, delays, doubles and reorders; a broker publishes a will long after its client is back, or
never. Tests that wait for such days by chance prove nothing, so each is a probability here, and the same
seed brings the same day again.
"""

import random
from dataclasses import dataclass

IN_ORDER: tuple[float, ...] = (0.0,)


@dataclass(frozen=True, slots=True, kw_only=True)
class Faults:
    """Probabilities, each from 0 to 1, for one delivery (`lose`: for each way to and from the broker).

    A reordered message is overtaken by what follows within `overtaken_s`; a delayed one comes after at most
    `longest_delay_s`; a late will after at most `longest_late_s` more than its delay, although its client
    may be back.
    """

    seed: int = 0
    lose: float = 0.0
    double: float = 0.0
    delay: float = 0.0
    reorder: float = 0.0
    late_will: float = 0.0
    missing_will: float = 0.0
    longest_delay_s: float = 5.0
    overtaken_s: float = 0.1
    longest_late_s: float = 60.0

    @property
    def any_delivery(self) -> bool:
        """Whether a delivery can go wrong at all."""
        return any((self.lose, self.double, self.delay, self.reorder))


class Fate:
    """Throws the dice for one broker, in the order in which it is asked."""

    def __init__(self, faults: Faults) -> None:
        self._faults = faults
        self._dice = random.Random(faults.seed)  # noqa: S311 - a simulation has to be predictable

    def is_lost(self) -> bool:
        """Return whether a publication never reaches the broker."""
        return self._hits(self._faults.lose)

    def deliveries(self) -> tuple[float, ...]:
        """Return after how many seconds each copy of a message arrives; none if it is lost."""
        if not self._faults.any_delivery:
            return IN_ORDER
        if self._hits(self._faults.lose):
            return ()
        copies = 2 if self._hits(self._faults.double) else 1
        return tuple(self._late_by() for _ in range(copies))

    def will(self, delay_s: float) -> tuple[float | None, bool]:
        """Return after how many seconds a will comes, if ever, and whether its client can prevent it."""
        if self._hits(self._faults.missing_will):
            return None, True
        if self._hits(self._faults.late_will):
            return delay_s + self._dice.uniform(0, self._faults.longest_late_s), False
        return delay_s, True

    def _late_by(self) -> float:
        if self._hits(self._faults.delay):
            return self._dice.uniform(0, self._faults.longest_delay_s)
        if self._hits(self._faults.reorder):
            return self._dice.uniform(0, self._faults.overtaken_s)
        return 0.0

    def _hits(self, probability: float) -> bool:
        return probability > 0 and self._dice.random() < probability
