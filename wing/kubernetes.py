"""Kubernetes' API with a Node's own credential: the adapter behind `wing.cluster.NodeApi` and `NodeSigns`.

A kubelet's credential may list the pods bound to it, evict and delete those, change its own Node but for
its taints, and read its own Lease; NodeRestriction and the Node authorizer forbid it all else. The kubeconfig
is read when the API is opened, since its certificate is rotated.

The client's own models are not used: they refuse objects whose required fields somebody left out.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final, TypeVar

import aiohttp
import msgspec
import yaml
from kubernetes_asyncio import config
from kubernetes_asyncio.client import ApiClient
from kubernetes_asyncio.config import ConfigException

from wing.cluster import (
    Answer,
    Busy,
    ConflictError,
    CredentialError,
    ForbiddenError,
    Node,
    Pod,
    Signs,
    UnreachableError,
)
from wing.eviction import Reply, answer
from wing.kubernetes_objects import (
    CORDONED_AT,
    CORDONED_BY,
    LeaseObject,
    NodeObject,
    PodPage,
    node_of,
    pods_of,
    reply_of,
    signs_of,
)

PAGE: Final = 500
CALL_S: Final = 20.0
LEASES: Final = "kube-node-lease"

_JSON: Final = "application/json"
_MERGE: Final = "application/merge-patch+json"
_NODE: Final = "/api/v1/nodes/{name}"
_POD: Final = "/api/v1/namespaces/{namespace}/pods/{name}"
_LEASE: Final = "/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases/{name}"

_T = TypeVar("_T")


@asynccontextmanager
async def node_api(kubeconfig: Path, node: str) -> AsyncIterator["KubernetesNode"]:
    """Open the API with the credential that `kubeconfig` holds now; raises CredentialError."""
    try:
        client = await config.new_client_from_config(str(kubeconfig), persist_config=False)
    except (ConfigException, OSError, ValueError, yaml.YAMLError) as error:
        raise CredentialError(path=str(kubeconfig), reason=str(error)) from error
    async with client:
        yield KubernetesNode(client, node)


class KubernetesNode:
    """The Node `name`, through `client`."""

    def __init__(self, client: ApiClient, name: str) -> None:
        self._client = client
        self._name = name

    async def node(self) -> Node:
        """Return the Node as it is now."""
        return node_of(await self._node())

    async def cordon(self, node: Node, owner: str, at: datetime) -> None:
        """Cordon the Node in the name of `owner`; raises ConflictError unless it is still as `node`."""
        stamp = at.isoformat(timespec="seconds")
        await self._patch(node, unschedulable=True, annotations={CORDONED_BY: owner, CORDONED_AT: stamp})

    async def uncordon(self, node: Node) -> None:
        """Lift the Node's cordon, whose ever it is; raises ConflictError unless it is still as `node`."""
        await self._patch(node, unschedulable=None, annotations={CORDONED_BY: None, CORDONED_AT: None})

    async def pods(self) -> Sequence[Pod]:
        """Return every pod that is bound to the Node."""
        while True:
            try:
                return await self._pages()
            except _ExpiredError:
                continue  # the list took so long that its version is no more: begin again

    async def evict(self, pod: Pod, grace_s: int | None) -> Answer:
        """Ask for the pod's end through its budgets; `grace_s` None is its own grace period."""
        metadata = {"name": pod.name, "namespace": pod.namespace}
        body: dict[str, object] = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": metadata}
        body["deleteOptions"] = _options(pod, grace_s)
        return await self._end(pod, "POST", f"{_POD}/eviction", body)

    async def delete(self, pod: Pod, grace_s: int | None) -> Answer:
        """Ask for the pod's end past its budgets; `grace_s` None is its own grace period."""
        return await self._end(pod, "DELETE", _POD, _options(pod, grace_s))

    async def signs(self) -> Signs:
        """Return the Node's signs of life; raises ClusterError."""
        lease_place = {"namespace": LEASES, "name": self._name}
        status, body, reply = await self._call("GET", _LEASE, lease_place)
        absent = status == HTTPStatus.NOT_FOUND
        lease = None if absent else _decoded(_checked(reply, body), LeaseObject)
        return signs_of(await self._node(), lease)

    # One call ---------------------------------------------------------------------------------------

    async def _node(self) -> NodeObject:
        _, body, reply = await self._call("GET", _NODE, {"name": self._name})
        return _decoded(_checked(reply, body), NodeObject)

    async def _patch(
        self, node: Node, *, unschedulable: bool | None, annotations: Mapping[str, str | None]
    ) -> None:
        change = {
            "metadata": {"resourceVersion": node.version, "annotations": annotations},
            "spec": {"unschedulable": unschedulable},
        }
        _, body, reply = await self._call("PATCH", _NODE, {"name": self._name}, body=change, kind=_MERGE)
        _checked(reply, body)

    async def _pages(self) -> tuple[Pod, ...]:
        found: list[Pod] = []
        query = {"fieldSelector": f"spec.nodeName={self._name}", "limit": str(PAGE)}
        while True:
            status, body, reply = await self._call("GET", "/api/v1/pods", {}, query=query)
            if status == HTTPStatus.GONE:
                raise _ExpiredError
            page = _decoded(_checked(reply, body), PodPage)
            found.extend(pods_of(page))
            if not page.metadata.next_page:
                return tuple(found)
            query["continue"] = page.metadata.next_page

    async def _end(self, pod: Pod, method: str, path: str, body: Mapping[str, object]) -> Answer:
        place = {"namespace": pod.namespace, "name": pod.name}
        try:
            _, _, reply = await self._call(method, path, place, body=body)
        except UnreachableError as error:
            return Busy(reason=error.reason)
        return answer(reply, pod.namespace)

    async def _call(
        self,
        method: str,
        path: str,
        place: Mapping[str, str],
        *,
        query: Mapping[str, str] | None = None,
        body: Mapping[str, object] | None = None,
        kind: str = _JSON,
    ) -> tuple[int, bytes, Reply]:
        """Return status, body and what it means as an answer; raises UnreachableError."""
        try:
            response: Any = await self._client.call_api(
                path,
                method,
                path_params=dict(place),
                query_params=list((query or {}).items()),
                header_params={"Accept": _JSON, "Content-Type": kind},
                body=body,
                auth_settings=["BearerToken"],
                _preload_content=False,
                _request_timeout=CALL_S,
            )
            raw: bytes = await response.read()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            reason = str(error) or type(error).__name__
            raise UnreachableError(f"the API server can't be reached: {reason}") from error
        return response.status, raw, reply_of(response.status, raw, response.headers.get("Retry-After"))


class _ExpiredError(Exception):
    """The version that a list began with is no more."""


def _options(pod: Pod, grace_s: int | None) -> dict[str, object]:
    wanted: dict[str, object] = {"preconditions": {"uid": pod.uid}}
    return wanted if grace_s is None else {**wanted, "gracePeriodSeconds": grace_s}


def _checked(reply: Reply, body: bytes) -> bytes:
    if reply.status < HTTPStatus.BAD_REQUEST:
        return body
    if reply.status == HTTPStatus.CONFLICT:
        raise ConflictError(reply.reason)
    if reply.status == HTTPStatus.TOO_MANY_REQUESTS or reply.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        raise UnreachableError(f"the API server can't answer now: {reply.reason}")
    raise ForbiddenError(status=reply.status, reason=reply.message or "no reason given")


def _decoded(body: bytes, into: type[_T]) -> _T:
    try:
        return msgspec.json.decode(body, type=into)
    except msgspec.MsgspecError as error:
        raise UnreachableError(f"the API server's answer can't be read: {error}") from error
