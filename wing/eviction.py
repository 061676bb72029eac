"""What an API server's answer to an eviction means.

Pure. The rules are those of kubectl (k8s.io/kubectl/pkg/drain) where it has any, and of what the registry
(k8s.io/kubernetes/pkg/registry/core/pod/storage/eviction.go) really answers: a budget says 429 with a cause,
a busy server says 429 without, two budgets say 500, and a pod that is gone says 403 to its node's credential.
"""

import re
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

from wing.cluster import Answer, Busy, Doubtful, Granted, Held, NamespaceEnding, Refused

BUDGET_CAUSE: Final = "DisruptionBudget"
NAMESPACE_CAUSE: Final = "NamespaceTerminating"
TWO_BUDGETS: Final = "more than one PodDisruptionBudget"

_GRANTED: Final = frozenset({HTTPStatus.OK, HTTPStatus.CREATED, HTTPStatus.ACCEPTED})
_DOUBTFUL: Final = frozenset({HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT})
_BUDGET: Final = re.compile(r"disruption budget (?P<name>\S+)")
_COUNTS: Final = re.compile(r"needs (?P<needed>\d+) healthy pods and has (?P<healthy>\d+) currently")


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """One of the causes in a Status's details."""

    reason: str = ""
    message: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """An API server's answer, with what its Status said."""

    status: int
    message: str = ""
    causes: tuple[Cause, ...] = ()
    retry_after_s: int | None = None

    @property
    def reason(self) -> str:
        """What a person should read of it."""
        return f"{self.message or 'no reason given'} (status {self.status})"


def answer(reply: Reply, namespace: str) -> Answer:  # noqa: PLR0911 - one for each row of the table
    """Return what `reply` to the eviction of a pod of `namespace` means for that pod."""
    causes = {cause.reason: cause.message for cause in reply.causes}
    if reply.status in _GRANTED:
        return Granted()
    if reply.status == HTTPStatus.FORBIDDEN and NAMESPACE_CAUSE in causes:
        return NamespaceEnding(reason=reply.reason)
    if reply.status in _DOUBTFUL:
        return Doubtful(reason=reply.reason)
    if reply.status == HTTPStatus.TOO_MANY_REQUESTS and BUDGET_CAUSE in causes:
        return _held(reply, causes[BUDGET_CAUSE], namespace)
    if reply.status == HTTPStatus.TOO_MANY_REQUESTS:
        return Busy(reason=f"the API server is busy: {reply.reason}", retry_after_s=reply.retry_after_s)
    if TWO_BUDGETS in reply.message:
        return Refused(reason=f"{reply.message} Leave it only one of them")
    if reply.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return Busy(reason=reply.reason, retry_after_s=reply.retry_after_s)
    return Refused(reason=reply.reason)


def _held(reply: Reply, cause: str, namespace: str) -> Held:
    budget, counts = _BUDGET.search(cause), _COUNTS.search(cause)
    return Held(
        reason=cause or reply.message,
        budget=None if budget is None else f"{namespace}/{budget['name']}",
        healthy=None if counts is None else int(counts["healthy"]),
        needed=None if counts is None else int(counts["needed"]),
        retry_after_s=reply.retry_after_s,
    )
