"""A real Kubernetes control plane on this machine, for tests: etcd, kube-apiserver, kube-controller-manager.

The binary is the one that `./dev servers` builds. There is no kubelet and no scheduler: tests/kube/actors.py
plays them. No child outlives the test, however that ends: each is in a group of its own, which is killed, and
the kernel kills it if this process dies first.
"""

import asyncio
import contextlib
import os
import random
import shutil
import signal
import socket
import ssl
import subprocess
from collections.abc import AsyncIterator, Callable
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final, Self

import aiohttp
import yaml
from kubernetes_asyncio.client import CoreV1Api, PolicyV1Api

from orchestrator.adapters.local_ca import CertificateFiles
from tests.kube.access import DEADLINE_S, Change, client, until
from tests.kube.pki import HOST, ClusterPki

VARIABLE: Final = "TARMAK_TEST_KUBERNETES"
POLL_S: Final = 0.05
# Below the ports that the kernel gives to outgoing connections, so that a server finds its own again.
PORTS: Final = range(20_000, 32_000)
# Those whose work the tests see; the others would only cost time and memory.
CONTROLLERS: Final = (
    "daemonset-controller",
    "deployment-controller",
    "disruption-controller",
    "garbage-collector-controller",
    "namespace-controller",
    "replicaset-controller",
    "serviceaccount-controller",
    "statefulset-controller",
)


class ServerDiedError(Exception):
    """A server ended by itself; `log` has its last words."""

    def __init__(self, name: str, code: int, log: Path) -> None:
        last = log.read_text(errors="replace")[-4000:]
        super().__init__(f"{name} ended with {code}; the end of {log}:\n{last}")
        self.name = name
        self.code = code
        self.log = log


class Server:
    """One program of the binary, which writes to `folder/{program}.log`."""

    def __init__(self, binary: Path, program: str, folder: Path, *flags: str) -> None:
        self._words = [*_dies_with_parent(), str(binary), program, *flags]
        self._program = program
        self._process: subprocess.Popen[bytes] | None = None
        self.log = folder / f"{program}.log"

    @property
    def pid(self) -> int | None:
        """The running program's pid."""
        return None if self._process is None else self._process.pid

    def start(self) -> None:
        """Start the program; it must not run already."""
        assert self._process is None, f"{self._program} runs already"
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self._words, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )

    def kill(self) -> None:
        """End the program at once, as a power loss would; nothing happens when it does not run."""
        if self._process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._process = None

    def check(self) -> None:
        """Raise `ServerDiedError` when the program has ended by itself."""
        code = None if self._process is None else self._process.poll()
        if code is not None:
            raise ServerDiedError(self._program, code, self.log)


class ControlPlane:
    """A cluster without machines, its files in `folder`; it runs as long as its `async with`."""

    def __init__(self, binary: Path, folder: Path) -> None:
        self.folder = folder
        self.pki = ClusterPki(folder / "pki")
        port, peers, store = free_ports(3)
        self.url = f"https://{HOST}:{port}"
        self.admin_kubeconfig = self._kubeconfig("admin", self.pki.admin())
        self._store = Server(binary, "etcd", folder, *_etcd_flags(folder / "etcd", store, peers))
        self.apiserver = Server(binary, "kube-apiserver", folder, *_apiserver_flags(self.pki, port, store))
        kubeconfig = self._kubeconfig("controllers", self.pki.controllers())
        self.controllers = Server(
            binary, "kube-controller-manager", folder, *_controllers_flags(self.pki, kubeconfig)
        )

    async def __aenter__(self) -> Self:
        try:
            self._store.start()
            await self.start_apiserver()
            self.controllers.start()
            await self._until_controllers_work()
        except BaseException:
            self._kill()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        self._kill()

    def node_kubeconfig(self, name: str) -> Path:
        """Return a kubeconfig with the credential of the kubelet of node `name`."""
        return self._kubeconfig(f"node-{name}", self.pki.kubelet(name))

    async def start_apiserver(self) -> None:
        """Start the API server, on the port that it had before, and wait until it is ready."""
        self.apiserver.start()
        trust = ssl.create_default_context(cafile=str(self.pki.ca))
        own = self.pki.admin()
        trust.load_cert_chain(own.certificate, own.key)
        async with (
            asyncio.timeout(DEADLINE_S),
            aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=trust)) as session,
        ):
            while not await self._is_ready(session):
                self._store.check()
                self.apiserver.check()
                await asyncio.sleep(POLL_S)

    async def stop_apiserver(self) -> None:
        """End the API server at once; etcd and the controllers go on."""
        await asyncio.to_thread(self.apiserver.kill)

    async def _is_ready(self, session: aiohttp.ClientSession) -> bool:
        try:
            async with session.get(f"{self.url}/readyz") as answer:
                if answer.status == HTTPStatus.UNAUTHORIZED:
                    answer.raise_for_status()
                return answer.status == HTTPStatus.OK
        except aiohttp.ClientConnectionError:
            return False

    async def _until_controllers_work(self) -> None:
        """Wait until pods may be made in the default namespace, and a new budget says what it allows."""
        async with client(self.admin_kubeconfig) as api, self._guarded():
            await until(_named("default"), CoreV1Api(api).list_namespaced_service_account, "default")
            policy = PolicyV1Api(api)
            budget = {"metadata": {"name": "probe"}, "spec": {"maxUnavailable": 0, "selector": {}}}
            await policy.create_namespaced_pod_disruption_budget("default", budget)
            await until(_observed, policy.list_namespaced_pod_disruption_budget, "default")
            await policy.delete_namespaced_pod_disruption_budget("probe", "default")

    @contextlib.asynccontextmanager
    async def _guarded(self) -> AsyncIterator[None]:
        """End the block with `ServerDiedError` as soon as a server ends by itself."""
        async with asyncio.TaskGroup() as tasks:
            guard = tasks.create_task(self._guard(), name="tests.kube.guard")
            yield
            guard.cancel()

    async def _guard(self) -> None:
        while True:
            for server in (self._store, self.apiserver, self.controllers):
                server.check()
            await asyncio.sleep(POLL_S)

    def _kubeconfig(self, name: str, files: CertificateFiles) -> Path:
        path = self.folder / f"{name}.kubeconfig"
        path.write_text(yaml.safe_dump(_kubeconfig(self.url, self.pki.ca, name, files)))
        path.chmod(0o600)
        return path

    def _kill(self) -> None:
        for server in (self.controllers, self.apiserver, self._store):
            server.kill()


def binary_from_environment() -> Path | None:
    """Return the servers' binary as `./dev test` has told of it; None where it could not be built."""
    named = os.environ.get(VARIABLE)
    return Path(named) if named else None


def free_ports(count: int) -> list[int]:
    """Return `count` ports of the loopback address that nobody listens on."""
    with contextlib.ExitStack() as held:
        return [_free_port(held) for _ in range(count)]


def _free_port(held: contextlib.ExitStack) -> int:
    while True:
        port = random.choice(PORTS)  # noqa: S311 - nothing depends on its being a secret
        probe = held.enter_context(socket.socket())
        with contextlib.suppress(OSError):
            probe.bind((HOST, port))
            return port


def _dies_with_parent() -> list[str]:
    setpriv = shutil.which("setpriv")
    return [setpriv, "--pdeathsig", "KILL", "--"] if setpriv else []


def _named(name: str) -> Callable[[Change], bool]:
    return lambda change: change.object["metadata"]["name"] == name


def _observed(change: Change) -> bool:
    return "observedGeneration" in change.object.get("status", {})


def _etcd_flags(state: Path, port: int, peers: int) -> list[str]:
    own, peer = f"http://{HOST}:{port}", f"http://{HOST}:{peers}"
    return [
        f"--data-dir={state}",
        f"--listen-client-urls={own}",
        f"--advertise-client-urls={own}",
        f"--listen-peer-urls={peer}",
        f"--initial-advertise-peer-urls={peer}",
        f"--initial-cluster=default={peer}",
        "--unsafe-no-fsync",
        "--log-level=warn",
    ]


def _apiserver_flags(pki: ClusterPki, port: int, store: int) -> list[str]:
    return [
        f"--etcd-servers=http://{HOST}:{store}",
        f"--bind-address={HOST}",
        f"--secure-port={port}",
        f"--tls-cert-file={pki.serving.certificate}",
        f"--tls-private-key-file={pki.serving.key}",
        f"--client-ca-file={pki.ca}",
        "--authorization-mode=Node,RBAC",
        "--enable-admission-plugins=NodeRestriction",
        "--service-account-issuer=https://kubernetes.default.svc",
        f"--service-account-key-file={pki.token_public_key}",
        f"--service-account-signing-key-file={pki.token_key}",
        "--service-cluster-ip-range=10.0.0.0/24",
        "--allow-privileged=true",
        "--endpoint-reconciler-type=none",  # a loopback address can be no endpoint
        "--profiling=false",
    ]


def _controllers_flags(pki: ClusterPki, kubeconfig: Path) -> list[str]:
    return [
        f"--kubeconfig={kubeconfig}",
        f"--controllers={','.join(CONTROLLERS)}",
        f"--service-account-private-key-file={pki.token_key}",
        f"--root-ca-file={pki.ca}",
        "--leader-elect=false",
        "--secure-port=0",
        "--kube-api-qps=200",
        "--kube-api-burst=400",
        "--profiling=false",
    ]


def _kubeconfig(url: str, authority: Path, user: str, files: CertificateFiles) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "test", "cluster": {"server": url, "certificate-authority": str(authority)}}],
        "users": [
            {
                "name": user,
                "user": {"client-certificate": str(files.certificate), "client-key": str(files.key)},
            }
        ],
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": user}}],
        "current-context": "test",
    }
