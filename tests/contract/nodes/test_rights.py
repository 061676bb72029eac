"""The rights that the manual tells to give suffice, and none of them is too much."""

from pathlib import Path

import pytest
from kubernetes_asyncio.client import CoreV1Api

from orchestrator.ports import PreflightError
from tests.contract.nodes.rights import credential, documented, without
from tests.contract.nodes.sites import RealSite, watching
from tests.kube import objects
from tests.kube.access import answer, client
from tests.kube.place import Place

RULES = documented()["ClusterRole"]["rules"]
EACH = [(rule["resources"][0], verb) for rule in RULES for verb in rule["verbs"]]


async def test_the_documented_rights_suffice(own: Place, tmp_path: Path) -> None:
    """By the manual's ClusterRole Nodes are listed and watched, and a look sees pods and budgets."""
    async with credential(own, RULES, tmp_path) as kubeconfig:
        site = RealSite(own, kubeconfig)
        await site.node("a")
        await site.pod("one", "a")
        await site.budget("keep")
        async with watching(site) as told:
            assert set(await told.all()) == {"a"}
            await site.cordon("a", "r-1")
            assert (await told.node()).owner == "r-1"
        picture = await site.preflight.look({site.name("a")})
        assert [pod.name for pod in picture.pods] == ["one"]
        assert "keep" in {budget.name for budget in picture.budgets}


async def test_they_are_for_reading_alone(own: Place, tmp_path: Path) -> None:
    """Nothing can be changed with them, and no secret be read."""
    node = await own.node("a")
    async with credential(own, RULES, tmp_path) as kubeconfig, client(kubeconfig) as api:
        core = CoreV1Api(api)
        cordon = core.patch_node(node.name, {"spec": {"unschedulable": True}}, _content_type=objects.MERGE)
        assert (await answer(cordon)).status == 403
        assert (await answer(core.list_namespaced_secret(own.namespace))).status == 403
        pod = await objects.make_pod(own.admin, "web", node.name, namespace=own.namespace)
        assert (await answer(objects.evict(api, pod))).status == 403


@pytest.mark.parametrize(("resource", "verb"), EACH)
async def test_each_right_is_needed(own: Place, tmp_path: Path, resource: str, verb: str) -> None:
    """Without it either the watch or the look is refused, and the reason names what is missing."""
    await own.node("a")
    async with credential(own, without(RULES, resource, verb), tmp_path) as kubeconfig:
        site = RealSite(own, kubeconfig)
        if resource == "nodes":
            async with watching(site) as told:
                reason = (await told.lost()).reason
        else:
            with pytest.raises(PreflightError) as caught:
                await site.preflight.look(set())
            reason = caught.value.reason
        assert f'cannot {verb} resource "{resource}"' in reason
