"""The API as calls: what `tarmak` asks a daemon, in the same views that the service made.

A stream that breaks is taken up behind the last event that was seen, so its reader notices neither a hole
nor a double. Errors are those of `orchestrator.exchange`.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO, Final, TypeVar
from urllib.parse import quote, urlencode

import msgspec

from broker.ids import Digest, InstanceId, RolloutId, RunId
from orchestrator import sse
from orchestrator.domain.join_views import EnrolmentView, RevokedView, TokenView
from orchestrator.domain.rollout_views import DrainView, RolloutView, WhyView
from orchestrator.domain.views import (
    BundleView,
    ConvergeTicket,
    EventView,
    InstanceView,
    LiveView,
    PingView,
    PlanView,
    RunView,
    Selector,
    StatusView,
)
from orchestrator.exchange import ANSWER_S, PIECE, Asked, Exchange, UnreachableError

if TYPE_CHECKING:
    from orchestrator.operations import RolloutAction

T = TypeVar("T")
Parameters = Sequence[tuple[str, str]]

PAUSES_S: Final = (0.1, 0.2, 0.5, 1.0, 2.0)
GIVE_UP_S: Final = 60.0
PAGE: Final = 5000
JSON_HEADERS: Final = {"Content-Type": "application/json"}
PACKED_HEADERS: Final = {"Content-Type": "application/gzip"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Upgrade:
    """What is asked of a rollout; `strategy` is as its file has it."""

    selector: Selector
    digest: Digest
    strategy: Mapping[str, Any]
    approved: str | None = None
    confirmed: bool = False

    def body(self) -> Mapping[str, Any]:
        """Return it as the API's body."""
        return {
            "selector": selector_body(self.selector),
            "bundle": self.digest,
            "strategy": self.strategy,
            "approved": self.approved,
            "confirmed": self.confirmed,
        }


class Client:
    """Asks the orchestrator behind `url` (`unix:///…`); BadUrlError if that is none."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._exchange = Exchange(url)

    def instances(self, selector: Selector | None = None) -> list[InstanceView]:
        """Return the selected instances (None: all), by id."""
        return self._get("/v1/instances", list[InstanceView], selection(selector))

    def instance(self, instance: InstanceId) -> InstanceView:
        """Return one instance."""
        return self._get(f"/v1/instances/{quote(instance)}", InstanceView)

    def bundles(self) -> list[BundleView]:
        """Return the known bundles, newest first."""
        return self._get("/v1/bundles", list[BundleView])

    def push(self, packed: BinaryIO) -> BundleView:
        """Hand a packed bundle in."""
        pieces = iter(lambda: packed.read(PIECE), b"")
        asked = Asked(method="POST", path="/v1/bundles", content=pieces, headers=PACKED_HEADERS)
        return self._exchange.ask(asked, BundleView)

    def converge(
        self, selector: Selector, *, digest: Digest | None, noop: bool, parallel: int | None, timeout_s: int
    ) -> ConvergeTicket:
        """Set runs going, each bounded by `timeout_s` seconds; without a digest on what is desired."""
        body = {
            "selector": selector_body(selector),
            "bundle": digest,
            "noop": noop,
            "parallel": parallel,
            "timeout_s": timeout_s,
        }
        return self._post("/v1/converge", ConvergeTicket, body)

    def ping(self, selector: Selector, *, timeout_s: float) -> list[PingView]:
        """Return each wing's answer, or that there was none within `timeout_s` seconds."""
        body = {"selector": selector_body(selector), "timeout_s": timeout_s}
        return self._post("/v1/ping", list[PingView], body, answer_s=ANSWER_S + timeout_s)

    def runs(self, parameters: Parameters = ()) -> list[RunView]:
        """Return runs, newest first; `parameters` are the route's."""
        return self._get("/v1/runs", list[RunView], parameters)

    def run(self, run: RunId) -> RunView:
        """Return one run with its changes."""
        return self._get(f"/v1/runs/{quote(run)}", RunView)

    def run_log(self, run: RunId) -> list[dict[str, Any]]:
        """Return the complete log of a run that has ended."""
        return self._get(f"/v1/runs/{quote(run)}/log", list[dict[str, Any]])

    def cancel(self, run: RunId) -> RunView:
        """Ask for a run's end."""
        return self._post(f"/v1/runs/{quote(run)}/cancel", RunView, {})

    def plan(self, ticket: str) -> PlanView:
        """Return what the dry runs of `ticket` have found so far."""
        return self._get(f"/v1/plans/{quote(ticket)}", PlanView)

    def preview(self, upgrade: "Upgrade") -> RolloutView:
        """Return what a rollout would do."""
        return self._post("/v1/rollouts/preview", RolloutView, upgrade.body())

    def upgrade(self, upgrade: "Upgrade") -> RolloutView:
        """Begin a rollout."""
        return self._post("/v1/rollouts", RolloutView, upgrade.body())

    def rollouts(self, parameters: Parameters = ()) -> list[RolloutView]:
        """Return rollouts, newest first, without their steps; `parameters` are the route's."""
        return self._get("/v1/rollouts", list[RolloutView], parameters)

    def rollout(self, rollout: RolloutId) -> RolloutView:
        """Return one rollout with its steps."""
        return self._get(f"/v1/rollouts/{quote(rollout)}", RolloutView)

    def act(
        self,
        rollout: RolloutId,
        action: "RolloutAction",
        *,
        instances: Sequence[InstanceId] = (),
        beyond_failed: int = 0,
    ) -> RolloutView:
        """Do something to a rollout, and return how it stands then."""
        body = {"instances": instances, "beyond_failed": beyond_failed}
        return self._post(f"/v1/rollouts/{quote(rollout)}/{action.value}", RolloutView, body)

    def why(self, subject: str | None = None) -> list[WhyView]:
        """Return why an instance or a rollout (None: whatever does) waits or failed."""
        return self._get("/v1/why", list[WhyView], () if subject is None else (("subject", subject),))

    def drain(self, instance: InstanceId, policy: Mapping[str, Any], *, confirmed: bool) -> DrainView:
        """Set a drain going; `policy` is that of a strategy's `drain`."""
        body = {"policy": policy, "confirmed": confirmed}
        return self._post(f"/v1/instances/{quote(instance)}/drain", DrainView, body)

    def uncordon(self, instance: InstanceId) -> DrainView:
        """Have a cordon of ours lifted."""
        return self._post(f"/v1/instances/{quote(instance)}/uncordon", DrainView, {})

    def drain_state(self, drain: str) -> DrainView:
        """Return how a drain or an uncordon goes."""
        return self._get(f"/v1/drains/{quote(drain)}", DrainView)

    def make_token(self, body: Mapping[str, Any]) -> TokenView:
        """Make a token to join with; `body` is as the API has it."""
        return self._post("/v1/tokens", TokenView, body)

    def tokens(self) -> list[TokenView]:
        """Return the tokens that are kept, newest first."""
        return self._get("/v1/tokens", list[TokenView])

    def enrolled(self) -> list[EnrolmentView]:
        """Return who is enrolled, by id."""
        return self._get("/v1/enrolments", list[EnrolmentView])

    def revoke(self, instance: InstanceId) -> RevokedView:
        """Withdraw an instance's tokens, and take it off the fleet if it has joined."""
        return self._post(f"/v1/enrolments/{quote(instance)}/revoke", RevokedView, {})

    def status(self) -> StatusView:
        """Return how all is going."""
        return self._get("/v1/status", StatusView)

    def acknowledge(self) -> StatusView:
        """Say that a person has looked at a restored journal, and return how all is going then."""
        return self._post("/v1/status/acknowledge", StatusView, {})

    def events(self, parameters: Parameters = (), *, cursor: int = 0) -> Iterator[EventView]:
        """Yield every stored event after `cursor`, page by page, in order."""
        while True:
            paged = (*parameters, ("cursor", str(cursor)), ("limit", str(PAGE)))
            page = self._get("/v1/events", list[EventView], paged)
            yield from page
            if len(page) < PAGE:
                return
            cursor = page[-1].cursor

    def tail(self, parameters: Parameters = (), *, cursor: int = 0) -> Iterator[EventView | LiveView]:
        """Yield events after `cursor` without end, through broken connections.

        Raises UnreachableError if nobody answers at first, or later for a minute.
        """
        deadline = time.monotonic()
        pauses = iter(PAUSES_S)
        while not self._exchange.hung_up:
            try:
                for event in self._stream((*parameters, ("cursor", str(cursor)))):
                    deadline, pauses = time.monotonic() + GIVE_UP_S, iter(PAUSES_S)
                    if isinstance(event, EventView):
                        cursor = event.cursor
                    if event is not None:
                        yield event
            except UnreachableError:
                if time.monotonic() >= deadline and not self._exchange.hung_up:
                    raise
            if not self._exchange.hung_up:
                time.sleep(next(pauses, PAUSES_S[-1]))

    def hang_up(self) -> None:
        """End a `tail` that another thread reads."""
        self._exchange.hang_up()

    def _stream(self, parameters: Parameters) -> Iterator[EventView | LiveView | None]:
        for sent in self._exchange.stream(f"/v1/events?{urlencode(parameters)}"):
            if sent is None:
                yield None
            elif sent.name == sse.LIVE:
                yield self._exchange.decoded(sent.content, LiveView)
            else:
                yield self._exchange.decoded(sent.content, EventView)

    def _get(self, path: str, form: type[T], parameters: Parameters = ()) -> T:
        where = f"{path}?{urlencode(parameters)}" if parameters else path
        return self._exchange.ask(Asked(method="GET", path=where), form)

    def _post(self, path: str, form: type[T], body: Mapping[str, Any], *, answer_s: float = ANSWER_S) -> T:
        content = msgspec.json.encode(body)
        asked = Asked(method="POST", path=path, content=content, headers=JSON_HEADERS)
        return self._exchange.ask(asked, form, answer_s=answer_s)


def selection(selector: Selector | None) -> Parameters:
    """Return a selector as query parameters; all of them are none."""
    if selector is None:
        return ()
    return (
        *(("role", role) for role in selector.roles),
        *(("instance", instance) for instance in selector.instances),
        *(("label", f"{name}={value}") for name, value in selector.labels.items()),
    )


def selector_body(selector: Selector) -> Mapping[str, Any]:
    """Return a selector as the API's bodies have it."""
    return {
        "roles": selector.roles,
        "instances": selector.instances,
        "labels": selector.labels,
        "all": selector.everything,
    }
