"""A test's own part of a control plane that it shares with others: a namespace, and nodes with kubelets."""

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Self
from uuid import uuid4

from kubernetes_asyncio.client import ApiClient, CoreV1Api

from tests.kube import objects
from tests.kube.access import client
from tests.kube.actors import FakeKubelet
from tests.kube.manifests import Json
from tests.kube.servers import ControlPlane


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """A node, and a client that has its kubelet's credential."""

    object: Json
    api: ApiClient

    @property
    def name(self) -> str:
        """The node's name."""
        name: str = self.object["metadata"]["name"]
        return name

    @property
    def kubelet(self) -> FakeKubelet:
        """A kubelet for this node, which plays as soon as it is told to."""
        return FakeKubelet(self.api, self.name)


@dataclass
class Place:
    """The namespace `namespace`, an admin's client, and the nodes made so far."""

    plane: ControlPlane
    admin: ApiClient
    namespace: str
    nodes: list[Node] = field(default_factory=list)
    _open: contextlib.AsyncExitStack = field(default_factory=contextlib.AsyncExitStack)

    async def node(self, name: str) -> Node:
        """Make a ready node, whose name begins with the namespace's."""
        full = f"{self.namespace}-{name}"
        made = await objects.make_node(self.admin, full)
        api = await self._open.enter_async_context(client(self.plane.node_kubeconfig(full)))
        node = Node(object=made, api=api)
        self.nodes.append(node)
        return node

    async def __aenter__(self) -> Self:
        await objects.make_namespace(self.admin, self.namespace)
        return self

    async def __aexit__(self, *_: object) -> None:
        """Take the nodes away with all that is on them; the rest of the namespace goes in its own time."""
        await self._open.aclose()
        await CoreV1Api(self.admin).delete_namespace(self.namespace)
        for node in self.nodes:
            await objects.remove_node(self.admin, node.name)


@contextlib.asynccontextmanager
async def place(plane: ControlPlane) -> AsyncIterator[Place]:
    """Give a test a place of its own."""
    namespace = f"test-{uuid4().hex[:8]}"
    async with client(plane.admin_kubeconfig) as admin, Place(plane, admin, namespace) as own:
        yield own
