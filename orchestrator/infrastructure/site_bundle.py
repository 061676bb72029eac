"""A cluster's bundle: the site's code, and what the cluster's description knows that the code has to.

Members of a cluster have to know each other's addresses, and a package its version. Written into the site by
hand they would be a second truth beside the description; so they are put into the bundle as the data file
`data/tarmak.yaml`, for a level of the site's own Hiera to read: `tarmak::hosts` ({name: {role, address}}) and
`tarmak::versions` ({name: version}).
"""

import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import yaml

from orchestrator.infrastructure.cluster import Cluster
from orchestrator.infrastructure.errors import InfrastructureError
from orchestrator.infrastructure.hosts import Host
from puppet_bridge.bundle import BundleFile, build
from puppet_bridge.check import Warn
from puppet_bridge.errors import BundleError
from puppet_bridge.ustar import LEFT_OUT

DATA: Final = Path("data/tarmak.yaml")
HEAD: Final = "# Written by `tarmak cluster` from the cluster's description.\n"


def described(cluster: Cluster, hosts: Sequence[Host]) -> str:
    """Return the text of the data file."""
    known = {
        "tarmak::hosts": {host.name: {"role": host.role, "address": host.address} for host in hosts},
        "tarmak::versions": dict(cluster.versions),
    }
    return HEAD + yaml.safe_dump(known, sort_keys=True)


def packed(cluster: Cluster, site: Path, hosts: Sequence[Host], out: Path, warn: Warn) -> BundleFile:
    """Pack `site` and the data file into an archive in the folder `out`; InfrastructureError if it can't be.

    The same code and the same cluster give the same digest everywhere.
    """
    if (site / DATA).exists():
        raise InfrastructureError(
            what=f"{site / DATA} is there",
            why="that file is made for each cluster from its description",
            action="take it away, or give it another name",
        )
    with tempfile.TemporaryDirectory(prefix="tarmak-site-") as scratch:
        tree = Path(scratch) / "site"
        try:
            shutil.copytree(site, tree, symlinks=True, ignore=shutil.ignore_patterns(LEFT_OUT))
            (tree / DATA).parent.mkdir(exist_ok=True)
            (tree / DATA).write_text(described(cluster, hosts), encoding="utf-8")
            return build(tree, out, warn=warn)
        except (BundleError, OSError, shutil.Error) as error:
            what = f"no bundle can be made of {site}"
            raise InfrastructureError(what=what, why=str(error)) from error
