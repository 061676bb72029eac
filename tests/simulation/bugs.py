"""Bugs to be planted, so that the simulation proves that it would see them.

A simulation that finds nothing may be blind. Each bug breaks one promise in the way in which somebody may one
day break it.
"""

from collections.abc import Mapping
from typing import Final

from tests.simulation import mesh_bugs, rollout_bugs
from tests.simulation.planting import Bug

BUGS: Final[Mapping[str, Bug]] = {
    name: found
    for module in (mesh_bugs, rollout_bugs)
    for name, found in vars(module).items()
    if isinstance(found, Bug)
}
