"""What an API server's answer to an eviction means: the rows of docs/operations/drain.md."""

import pytest

from wing.cluster import Answer, Busy, Doubtful, Granted, Held, NamespaceEnding, Refused
from wing.eviction import Cause, Reply, answer

COUNTED = "The disruption budget keep needs 2 healthy pods and has 1 currently"
PROCESSED = "The disruption budget keep is still being processed by the server."


def budget(message: str) -> tuple[Cause, ...]:
    """Return the cause by which a budget says no."""
    return (Cause(reason="DisruptionBudget", message=message),)


@pytest.mark.parametrize("status", [200, 201, 202])
def test_yes(status: int) -> None:
    """The pod has begun to go."""
    assert answer(Reply(status=status), "shop") == Granted()


@pytest.mark.parametrize("status", [403, 404, 409])
def test_what_a_pod_that_is_gone_would_answer_too(status: int) -> None:
    """Forbidden, absent and another uid are no proof: the node's own list has to say."""
    assert isinstance(answer(Reply(status=status, message="no"), "shop"), Doubtful)


def test_a_namespace_that_ends() -> None:
    """Forbidden with a cause of its own: the pod goes with its namespace."""
    causes = (Cause(reason="NamespaceTerminating", message="shop"),)
    assert isinstance(answer(Reply(status=403, causes=causes), "shop"), NamespaceEnding)


@pytest.mark.parametrize(
    ("reply", "meant"),
    [
        (
            Reply(status=429, causes=budget(COUNTED)),
            Held(reason=COUNTED, budget="shop/keep", healthy=1, needed=2),
        ),
        (
            Reply(status=429, causes=budget(PROCESSED), retry_after_s=10),
            Held(reason=PROCESSED, budget="shop/keep", retry_after_s=10),
        ),
        (Reply(status=429, message="violates it", causes=budget("")), Held(reason="violates it")),
        (
            Reply(status=429, message="slow down", retry_after_s=1),
            Busy(reason="the API server is busy: slow down (status 429)", retry_after_s=1),
        ),
    ],
)
def test_too_many_requests(reply: Reply, meant: Answer) -> None:
    """With a budget as its cause it is that budget, named with its counts where it has any; else load."""
    assert answer(reply, "shop") == meant


@pytest.mark.parametrize("status", [500, 502, 503, 504])
def test_a_server_that_can_not_now(status: int) -> None:
    """The same may be asked again."""
    assert isinstance(answer(Reply(status=status, message="etcd timed out"), "shop"), Busy)


def test_two_budgets() -> None:
    """A 500 that will stay one: no eviction of this pod can ever come off."""
    message = "This pod has more than one PodDisruptionBudget, which the eviction does not support."
    assert isinstance(answer(Reply(status=500, message=message), "shop"), Refused)


@pytest.mark.parametrize("status", [400, 401, 405, 422])
def test_anything_else_fails_the_pod(status: int) -> None:
    """Asking again would change nothing."""
    assert answer(Reply(status=status), "shop") == Refused(reason=f"no reason given (status {status})")
