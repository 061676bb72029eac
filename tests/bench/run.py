"""`./dev bench [NAME…] [-o json]`: measures, prints a table with ratios, and keeps it as JSON.

Each bench is a function that takes the number of runs and returns figures; its reference is measured
in turn with it, so that a busy machine slows both.
"""

import argparse
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from tests.bench.bench_converge import bench_converge
from tests.bench.bench_coordinator import bench_coordinator
from tests.bench.bench_fanout import bench_fanout
from tests.bench.bench_fleet import bench_fleet
from tests.bench.bench_tail import bench_tail
from tests.bench.figures import Figure, as_maps, table

BENCHES: Mapping[str, Callable[[int], Sequence[Figure]]] = {
    "converge": bench_converge,
    "fanout": bench_fanout,
    "tail": bench_tail,
    "coordinator": bench_coordinator,
    "fleet": bench_fleet,
}
KEPT = Path(__file__).parents[2] / ".cache" / "bench.json"


def main() -> int:
    """Run the named benches (none: all) and print what they measured."""
    options = parse(sys.argv[1:])
    figures: list[Figure] = []
    for name in options.names or BENCHES:
        sys.stderr.write(f"bench {name} …\n")
        figures.extend(BENCHES[name](options.runs))
    text = json.dumps(as_maps(figures), indent=2)
    KEPT.parent.mkdir(exist_ok=True)
    KEPT.write_text(text + "\n")
    sys.stdout.write((text if options.output == "json" else table(figures)) + "\n")
    return 0


def parse(words: Sequence[str]) -> argparse.Namespace:
    """Read the command line; an unknown bench is named together with those that exist."""
    parser = argparse.ArgumentParser(prog="./dev bench", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"one of {', '.join(BENCHES)}")
    parser.add_argument("-o", "--output", choices=("table", "json"), default="table")
    parser.add_argument("--runs", type=int, default=5, help="measurements of each side [5]")
    options = parser.parse_args(words)
    for name in options.names:
        if name not in BENCHES:
            parser.error(f"no bench is called {name!r}; there are {', '.join(BENCHES)}")
    return options


if __name__ == "__main__":
    sys.exit(main())
