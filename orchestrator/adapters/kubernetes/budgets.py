"""Disruption budgets as the API describes them, and as the domain judges by them."""

from collections.abc import Iterable

from orchestrator.adapters.kubernetes.objects import ApiObject, Metadata, Page
from orchestrator.domain.picture import BudgetSeen, Requirement


class _Expression(ApiObject, frozen=True):
    key: str = ""
    operator: str = ""
    values: tuple[str, ...] | None = None


class _Selector(ApiObject, frozen=True):
    match_labels: dict[str, str] | None = None
    match_expressions: tuple[_Expression, ...] | None = None


class _BudgetSpec(ApiObject, frozen=True):
    selector: _Selector | None = None
    unhealthy_pod_eviction_policy: str | None = None


class _BudgetStatus(ApiObject, frozen=True):
    disruptions_allowed: int = 0
    current_healthy: int = 0
    desired_healthy: int = 0
    expected_pods: int = 0


class BudgetObject(ApiObject, frozen=True):
    """A disruption budget."""

    metadata: Metadata
    spec: _BudgetSpec = _BudgetSpec()
    status: _BudgetStatus = _BudgetStatus()


BudgetPage = Page[BudgetObject]


def budget_of(found: BudgetObject) -> BudgetSeen:
    """Return the budget that the API describes so."""
    status = found.status
    return BudgetSeen(
        namespace=found.metadata.namespace,
        name=found.metadata.name,
        selector=None if found.spec.selector is None else tuple(_requirements(found.spec.selector)),
        allowed=status.disruptions_allowed,
        healthy=status.current_healthy,
        needed=status.desired_healthy,
        expected=status.expected_pods,
        evicts_unready=found.spec.unhealthy_pod_eviction_policy == "AlwaysAllow",
    )


def _requirements(found: _Selector) -> Iterable[Requirement]:
    for key, value in (found.match_labels or {}).items():
        yield Requirement(key=key, operator="In", values=(value,))
    for each in found.match_expressions or ():
        yield Requirement(key=each.key, operator=each.operator, values=each.values or ())
