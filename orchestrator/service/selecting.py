"""Which instances an operator means; nothing selected is a mistake, never everything."""

from collections.abc import Iterable, Mapping, Sequence

from broker.ids import InstanceId
from orchestrator.domain.instance import Instance
from orchestrator.domain.views import Selector
from orchestrator.nearest import nearest
from orchestrator.operations import RefusedError


def select(selector: Selector, instances: Mapping[InstanceId, Instance]) -> Sequence[Instance]:
    """Return the selected instances by id; RefusedError if one is unknown, or none is left."""
    for wanted in selector.instances:
        if wanted not in instances:
            raise unknown_instance(wanted, instances)
    found = sorted(
        (item for item in instances.values() if _fits(selector, item)), key=lambda item: item.enrolment.id
    )
    if not found:
        raise RefusedError(
            kind="empty-selection",
            status=422,
            title="nothing is selected",
            detail="no enrolled instance fits every condition of the selector",
            action="name instances, roles or labels that `tarmak instances` shows, or say --all",
        )
    return found


def unknown_instance(wanted: InstanceId, known: Iterable[InstanceId]) -> RefusedError:
    """Return the refusal of an instance that is not enrolled."""
    return RefusedError(
        kind="unknown-instance",
        status=404,
        title=f"no instance {wanted}",
        detail=f"{wanted} is not enrolled here; {nearest(wanted, known)}",
        action="see `tarmak instances`; enrol a new one in the roster",
    )


def covers_role(selector: Selector) -> bool:
    """Tell whether a selector means whole roles, those who join later included."""
    return not selector.instances and not selector.labels and bool(selector.roles or selector.everything)


def _fits(selector: Selector, instance: Instance) -> bool:
    if not (selector.everything or selector.roles or selector.instances or selector.labels):
        return False
    enrolment = instance.enrolment
    return (
        (not selector.roles or enrolment.role in selector.roles)
        and (not selector.instances or enrolment.id in selector.instances)
        and all(enrolment.labels.get(key) == value for key, value in selector.labels.items())
    )
