"""The rights that the manual tells to give, given to an account of the test's own."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import yaml
from kubernetes_asyncio.client import AuthorizationV1Api, CoreV1Api, RbacAuthorizationV1Api

from tests.kube.access import DEADLINE_S, RETRY_S, client
from tests.kube.manifests import Json
from tests.kube.place import Place

PAGE = Path(__file__).parents[3] / "docs" / "operations" / "kubernetes.md"
ACCOUNT = "tarmak-orchestrator"


def documented() -> dict[str, Json]:
    """Return the manual's objects by their kind."""
    block = PAGE.read_text(encoding="utf-8").partition("```yaml\n")[2].partition("```")[0]
    return {each["kind"]: each for each in yaml.safe_load_all(block)}


def without(rules: Sequence[Json], resource: str, verb: str) -> list[Json]:
    """Return rules that lack one verb on one resource."""
    return [
        {
            **rule,
            "verbs": [each for each in rule["verbs"] if resource not in rule["resources"] or each != verb],
        }
        for rule in rules
    ]


@asynccontextmanager
async def credential(own: Place, rules: Sequence[Json], folder: Path) -> AsyncIterator[Path]:
    """Give an account of the test's namespace these rights, and yield its kubeconfig once they hold."""
    found = documented()
    name = f"{ACCOUNT}-{own.namespace}"
    role = {**found["ClusterRole"], "metadata": {"name": name}, "rules": [r for r in rules if r["verbs"]]}
    subject = {**found["ClusterRoleBinding"]["subjects"][0], "namespace": own.namespace}
    binding = {
        **found["ClusterRoleBinding"],
        "metadata": {"name": name},
        "roleRef": {**found["ClusterRoleBinding"]["roleRef"], "name": name},
        "subjects": [subject],
    }
    rbac, core = RbacAuthorizationV1Api(own.admin), CoreV1Api(own.admin)
    account = {**found["ServiceAccount"], "metadata": {"name": ACCOUNT}}
    await core.create_namespaced_service_account(own.namespace, account)
    await rbac.create_cluster_role(role)
    await rbac.create_cluster_role_binding(binding)
    try:
        token = await core.create_namespaced_service_account_token(ACCOUNT, own.namespace, {"spec": {}})
        kubeconfig = _written(own, token.status.token, folder / f"{name}.kubeconfig")
        async with asyncio.timeout(DEADLINE_S):
            await _until_they_hold(kubeconfig, role["rules"])
        yield kubeconfig
    finally:
        await rbac.delete_cluster_role_binding(name)
        await rbac.delete_cluster_role(name)


def _written(own: Place, token: str, file: Path) -> Path:
    plain: dict[str, Any] = yaml.safe_load(own.plane.admin_kubeconfig.read_text())
    plain["users"] = [{"name": "admin", "user": {"token": token}}]
    file.write_text(yaml.safe_dump(plain))
    return file


async def _until_they_hold(kubeconfig: Path, rules: Sequence[Json]) -> None:
    """The authorizer knows of new rights a moment later than whoever made them."""
    wanted = [
        {"group": rule["apiGroups"][0], "resource": rule["resources"][0], "verb": verb}
        for rule in rules
        for verb in rule["verbs"]
    ]
    async with client(kubeconfig) as api:
        reviews = AuthorizationV1Api(api)
        for attributes in wanted:
            review = {"spec": {"resourceAttributes": attributes}}
            while not (await reviews.create_self_subject_access_review(review)).status.allowed:  # noqa: ASYNC110
                await asyncio.sleep(RETRY_S)  # nothing tells when the authorizer knows
