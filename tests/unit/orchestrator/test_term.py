"""A daemon that leads sees Kubernetes where it was told how, and else pays nothing for it."""

import subprocess
import sys
from pathlib import Path

from orchestrator.adapters.kubernetes.nodes import KubernetesNodes
from orchestrator.adapters.kubernetes.preflight import KubernetesPreflight
from orchestrator.term import _kubernetes

COSTLY = "import sys, orchestrator.daemon; sys.exit('kubernetes_asyncio' in sys.modules)"


def test_with_a_kubeconfig_nodes_are_watched_and_drains_looked_ahead_of() -> None:
    """Both by the same credential; without one there is neither."""
    nodes, preflight = _kubernetes(Path("k.conf"))
    assert isinstance(nodes, KubernetesNodes)
    assert isinstance(preflight, KubernetesPreflight)
    assert _kubernetes(None) == (None, None)


def test_a_daemon_without_a_kubeconfig_does_not_import_the_client() -> None:
    """It would cost each start a second, and each daemon 70 MB."""
    assert subprocess.run([sys.executable, "-c", COSTLY], check=False).returncode == 0
