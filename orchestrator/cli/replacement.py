"""The hands of `tarmak upgrade --replace`: the rollout has the gates, and from here the machines are made.

Whenever steps wait for another machine it is made, brought, and left to join; the rollout notices that by
itself. Whatever ends this command pauses the rollout first, so that nobody waits for hands that are gone, and
says how it is taken up again. Killed outright, it is taken up in the same way.
"""

import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from broker.ids import Digest, InstanceId, RolloutId
from orchestrator.cli.cluster_agreeing import agree
from orchestrator.cli.cluster_place import DEFAULT, applied, code_of, described, stops
from orchestrator.cli.machines import Machines
from orchestrator.cli.output import note
from orchestrator.cli.place import client_for, url_meant
from orchestrator.cli.rollout_log import Lines
from orchestrator.cli.rollout_show import Show, showing
from orchestrator.cli.stop import Code, StopError, usage
from orchestrator.cli.waiting import LateError, Wait, wait
from orchestrator.client import Client
from orchestrator.domain.rollout.model import RolloutState, StepState
from orchestrator.domain.rollout_views import RolloutView, StepView
from orchestrator.exchange import ClientError, ProblemError
from orchestrator.infrastructure import wiring
from orchestrator.infrastructure.changes import Action, Changes, InstanceChange
from orchestrator.infrastructure.clusters import Work
from orchestrator.infrastructure.errors import InfrastructureError, StoppedError
from orchestrator.infrastructure.hosts import BASTION
from orchestrator.infrastructure.lock import working
from orchestrator.infrastructure.replacing import Found, Replacing
from orchestrator.infrastructure.site_bundle import packed
from orchestrator.infrastructure.tunnel import forwarded
from orchestrator.operations import RolloutAction

PATIENCE_S: Final = 180.0
"""How long a machine with a token may take to join."""
GOING: Final = frozenset({RolloutState.PENDING, RolloutState.PROGRESSING, RolloutState.REVERTING})
Waiting = tuple[InstanceId, datetime | None]
"""A step that waits for a machine, and since when: one that is tried again is another one."""

SIGNALS: Final = (signal.SIGTERM, signal.SIGHUP)


@contextmanager
def hands(machines: Machines, url: str | None) -> Iterator["Hands"]:
    """Work on a cluster's machines and with its orchestrator for a block, as nobody else does meanwhile."""
    with stops():
        work = _work(machines)
        with working(work.home, "tarmak upgrade --replace"), _reached(work, url) as meant, _told_to_end():
            yield Hands(client_for(meant), work, wiring.replacing(work, note))


def _work(machines: Machines) -> Work:
    if machines.cluster is None and (machines.file is not None or DEFAULT.exists()):
        return described(machines.file or DEFAULT, machines.directory)
    return applied(machines.cluster, machines.directory)


def _reached(work: Work, url: str | None) -> AbstractContextManager[str]:
    meant = url_meant(url)
    if meant is not None:
        return nullcontext(meant)
    bastion = next(host for host in work.hosts_written() if host.role == BASTION)
    return forwarded(work.home.ssh_config, bastion)


@contextmanager
def _told_to_end() -> Iterator[None]:
    """Take whatever asks for an end as Ctrl-C for a block: there is something to be said over it."""
    before = {number: signal.signal(number, signal.default_int_handler) for number in SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class Hands:
    """Makes the machines that a rollout waits for, until it has ended or paused."""

    def __init__(self, client: Client, work: Work, replacing: Replacing) -> None:
        self.client = client
        self._work = work
        self._replacing = replacing
        self._brought: dict[Waiting, float] = {}
        self._left: set[Waiting] = set()
        self._lines = Lines()

    # Before it begins -----------------------------------------------------------------------------------

    def bundle(self) -> Digest:
        """Return the bundle that the description names, which the orchestrator has then."""
        digest = self._work.cluster.digest()
        return Digest(digest) if digest is not None else self._packed()

    def agree(self, steps: Sequence[StepView], losing: Sequence[str], *, begun: bool = False) -> None:
        """Have the loss of each disk that exists nowhere else agreed to; refuses what can't be made anew."""
        names = [step.instance for step in steps]
        self._replacing.refuse(names, begun=begun)
        changes = [
            InstanceChange(instance=step.instance, role=step.role, action=Action.REPLACE) for step in steps
        ]
        agree(Changes(instances=tuple(changes)), losing, yes=True, what="")

    def _packed(self) -> Digest:
        cluster = self._work.cluster
        if (site := cluster.source()) is None:
            raise usage(f"{cluster.name} describes no bundle", action="name one with --bundle")
        with tempfile.TemporaryDirectory(prefix="tarmak-bundle-") as folder:
            found = packed(cluster, site, self._work.hosts(), Path(folder), note)
            with found.path.open("rb") as content:
                return self.client.push(content).digest

    # Taking one up --------------------------------------------------------------------------------------

    def taken_up(self, rollout: RolloutId, losing: Sequence[str]) -> RolloutView:
        """Return a rollout that goes on; a paused one is resumed, or retried where it failed so."""
        view = self.client.rollout(rollout)
        if not view.strategy.get("replace"):
            raise usage(f"{rollout} makes no machines anew", action=f"see `tarmak rollout show {rollout}`")
        if view.state.is_final:
            raise StopError(Code.FAILED, f"rollout {rollout} has ended: it {view.state.value}")
        ahead = [step for step in view.steps if not step.state.is_over or step.state is StepState.FAILED]
        self.agree([step for step in ahead if not step.replaced], losing, begun=True)
        if view.state is not RolloutState.PAUSED:
            return view
        failed = [step.instance for step in ahead if _is_lacking(step)]
        if failed:
            return self.client.act(rollout, RolloutAction.RETRY, instances=failed)
        return self.client.act(rollout, RolloutAction.RESUME)

    def under_way(self, instances: Sequence[InstanceId], bundle: Digest) -> RolloutId | None:
        """Return the one rollout that makes these anew already, None if none does, or to another bundle."""
        found = self.client.rollouts((("limit", "100"),))
        going = [each.id for each in found if not each.state.is_final and each.strategy.get("replace")]
        views = [self.client.rollout(each) for each in going if each is not None]
        fitting = [
            view.id
            for view in views
            if view.bundle == bundle and set(instances) <= {step.instance for step in view.steps}
        ]
        return fitting[0] if len(fitting) == 1 else None

    # To its end -----------------------------------------------------------------------------------------

    def to_the_end(self, rollout: RolloutId, *, timeout_s: int | None) -> RolloutView:
        """Make what is waited for until the rollout has ended or paused; however this ends, it is paused."""
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        try:
            while True:
                view = self._awaited(rollout, deadline)
                if view.state not in GOING:
                    return view
                self._make(rollout, self._due(view))
        except (KeyboardInterrupt, StoppedError):
            self._pause(rollout)
            what = f"interrupted; rollout {rollout} is paused"
            raise StopError(Code.INTERRUPTED, what, action=_again(rollout)) from None
        except LateError:
            self._pause(rollout)
            what = f"rollout {rollout} has not ended in time; it is paused"
            raise StopError(Code.FAILED, what, action=_again(rollout)) from None
        except InfrastructureError as error:
            self._pause(rollout)
            why = "; ".join(word for word in (error.why, error.action) if word)
            what = f"rollout {rollout} is paused: {error.what}"
            raise StopError(code_of(error), what, why=why, action=f"then {_again(rollout)}") from error

    def _awaited(self, rollout: RolloutId, deadline: float | None) -> RolloutView:
        """Return the rollout once there is something to do for it, or it has ended or paused."""
        with self._shown() as show:
            asked = Wait(
                ask=lambda: self.client.rollout(rollout),
                ended=lambda view: view.state not in GOING or bool(self._due(view)),
                show=show.update,
                since=datetime.now(UTC),
                what=f"rollout {rollout} goes on when it is back",
            )
            left_s = None if deadline is None else max(0, round(deadline - time.monotonic()))
            return wait(self.client, asked, timeout_s=left_s)

    def _shown(self) -> AbstractContextManager[Show]:
        return showing() if sys.stderr.isatty() else nullcontext(self._lines)

    def _due(self, view: RolloutView) -> list[StepView]:
        """Return the steps that wait for a machine, but for those that have only to join yet."""
        now = time.monotonic()
        waiting = [step for step in view.steps if _is_waiting(step)]
        late = [step for step in waiting if now > self._brought.get(_which(step), now) + PATIENCE_S]
        return late or [
            step for step in waiting if _which(step) not in self._brought and _which(step) not in self._left
        ]

    def _make(self, rollout: RolloutId, due: Sequence[StepView]) -> None:
        late = [step.instance for step in due if _which(step) in self._brought]
        if late:
            raise self._replacing.late(late)
        found = self._replacing.look([step.instance for step in due])
        # Looked at again behind that: one that has joined meanwhile is the new one, whatever is on it.
        view = self.client.rollout(rollout)
        names = {step.instance for step in due}
        still = [step for step in self._due(view) if step.instance in names and view.state in GOING]
        kept = [step for step in still if step.back and found[step.instance] is Found.OLD]
        self._left |= {_which(step) for step in kept}  # it is there, and will be taken back
        wanted = [step for step in still if step not in kept]
        if wanted:
            old = [step.instance for step in wanted if found[step.instance] is not Found.NEW]
            self._replacing.make(old, [step.instance for step in wanted])
            self._brought |= dict.fromkeys(map(_which, wanted), time.monotonic())

    def _pause(self, rollout: RolloutId) -> None:
        try:
            self.client.act(rollout, RolloutAction.PAUSE)
        except ProblemError:
            pass  # it is, or it has ended
        except ClientError as error:
            note(f"rollout {rollout} could not be paused ({error}); `tarmak rollout pause {rollout}` does it")


def _which(step: StepView) -> Waiting:
    return step.instance, step.since


def _is_waiting(step: StepView) -> bool:
    """Tell whether a step goes on only once another machine is there."""
    if step.replaced is not False:
        return False
    return step.state is StepState.REPLACING or (step.back and step.state is StepState.PENDING)


def _is_lacking(step: StepView) -> bool:
    """Tell whether a step has failed for want of its new machine."""
    return step.state is StepState.FAILED and step.replaced is False and not step.back


def _again(rollout: RolloutId) -> str:
    return f"tarmak upgrade --replace --resume {rollout}"
