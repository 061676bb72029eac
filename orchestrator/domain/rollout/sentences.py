"""The table of reasons: for each cause one causal sentence, and the next safe command.

Both have places in braces for what is known; `why` finds the cause and fills them in.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from orchestrator.domain.rollout.model import Cause


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """A cause's sentence and next safe command, both with places for what is known; None: only wait."""

    sentence: str
    command: str | None = None


SHOW: Final = "tarmak rollout show {rollout}"
_RETRY: Final = "tarmak rollout retry {rollout} {instance}"
_SKIP: Final = "tarmak rollout skip {rollout} {instance}"
_GO_ON: Final = "tarmak rollout resume {rollout}"
_REPLACE: Final = "tarmak upgrade --replace --resume {rollout}"
_INSTANCE: Final = "tarmak instance show {instance}"
NODE: Final = "kubectl describe node {node}"

TABLE: Final[Mapping[Cause, Explanation]] = {
    Cause.WINDOW_CLOSED: Explanation(
        sentence="the window for disruption is closed and opens at {opens}",
        command="tarmak rollout abort {rollout}",
    ),
    Cause.PAUSED_BY_OPERATOR: Explanation(sentence="{by} paused it; nothing new starts", command=_GO_ON),
    Cause.TOO_MANY_FAILED: Explanation(
        sentence="{failed} of {total} failed ({who}), as many as it bears; {instance}: {reason}",
        command=_RETRY,
    ),
    Cause.SOME_FAILED: Explanation(
        sentence="all others are done, but {failed} of {total} failed ({who}); {instance}: {reason}",
        command=_RETRY,
    ),
    Cause.REVERT_FAILED: Explanation(
        sentence="revert failed: {instance} could not be taken back: {reason}; its cordon stays",
        command=_RETRY,
    ),
    Cause.FAILED_TAKE_ROOM: Explanation(
        sentence="{instance} can't go: {who} failed and counts as away; mend that one, or go past it with"
        " --beyond-failed",
        command="tarmak rollout retry {rollout} {culprit}",
    ),
    Cause.INVARIANT_BROKEN: Explanation(
        sentence="its next move would have broken law {law}, so it was not made; that is a mistake of"
        " Tarmak's: report it with the output of the command",
        command="tarmak rollout show {rollout} -o json",
    ),
    Cause.ABORTING: Explanation(
        sentence="{by} aborted it; it ends once what has begun is over", command=SHOW
    ),
    Cause.ROLLOUT_STOPPED: Explanation(
        sentence="its turn comes when the rollout goes on, which is {state}", command="tarmak why {rollout}"
    ),
    Cause.WAVE_NOT_OPEN: Explanation(sentence="its wave {wave} opens after wave {open}", command=SHOW),
    Cause.NOT_ONLINE: Explanation(
        sentence="{instance} is {presence}; see whether its host and wing run", command=_INSTANCE
    ),
    Cause.DISPUTED: Explanation(
        sentence="two hosts hold the identity {instance}; stop one of them", command=_INSTANCE
    ),
    Cause.OWNED: Explanation(
        sentence="{instance} is away for {owner}, and one at a time disrupts it", command=_INSTANCE
    ),
    Cause.OTHER_RUN: Explanation(
        sentence="{work}, which {by} asked for, is under way on {instance}", command=_INSTANCE
    ),
    Cause.CORDONED: Explanation(
        sentence="{instance} is cordoned by {owner}", command="tarmak uncordon {instance}"
    ),
    Cause.NOT_READY: Explanation(sentence="Node {node} of {instance} is not Ready ({reason})", command=NODE),
    Cause.NO_ROOM: Explanation(
        sentence="{count} of {total} of role {role} are not available ({who}), and at most {most} may be;"
        " bring them back first",
        command="tarmak instances --role {role}",
    ),
    Cause.NO_QUORUM: Explanation(
        sentence="without {instance} the members of role {role} would lose their quorum: {reason}",
        command="tarmak instances --role {role}",
    ),
    Cause.QUORUM_NOT_SEEN: Explanation(
        sentence="{instance} could not say whether its members keep their quorum without it: {reason}",
        command=_INSTANCE,
    ),
    Cause.BROKER_GONE: Explanation(sentence="the broker can't be reached", command="tarmak status"),
    Cause.JOURNAL_DOUBTED: Explanation(
        sentence="the journal seems restored from a backup; compare it with the fleet",
        command="tarmak status --acknowledge",
    ),
    Cause.NOT_SENT: Explanation(sentence="{work} waits to be sent: {reason}", command=_INSTANCE),
    Cause.NOT_STARTED: Explanation(
        sentence="{work} was sent, and its wing has not begun yet", command=_INSTANCE
    ),
    Cause.WORKING: Explanation(sentence="{doing} is under way", command=None),
    Cause.LOST_ON_THE_WAY: Explanation(
        sentence="{instance} is {presence}, in the middle of {doing}; it goes on when it is back",
        command=_INSTANCE,
    ),
    Cause.PUPPET_BUSY: Explanation(sentence="its run waits on the host: {reason}", command=_INSTANCE),
    Cause.DRAIN_BLOCKED: Explanation(
        sentence="pod {reason}; scale it up, or leave the instance out", command=_SKIP
    ),
    Cause.BEING_REPLACED: Explanation(
        sentence="its machine is being made anew by `tarmak upgrade --replace`; if that was ended: "
        + _REPLACE,
        command=_REPLACE,
    ),
    Cause.NEW_WING_AWAITED: Explanation(
        sentence="its new machine has joined, and its wing is {presence}",
        command="tarmak cluster logs {instance}",
    ),
    Cause.HEALTH_FAILING: Explanation(sentence="not healthy yet: {reason}", command=_INSTANCE),
    Cause.BACKING_OUT: Explanation(
        sentence="its drain is taken back, since the rollout stopped or goes on without it", command=SHOW
    ),
    Cause.REPORT_DUE: Explanation(sentence="its last answer is being handled", command=None),
    Cause.WAVE_UNDER_WAY: Explanation(sentence="it is back; others of its wave are not yet", command=SHOW),
    Cause.SOAKING: Explanation(sentence="its wave is watched until {until}", command=None),
    Cause.PREFETCH_FAILED: Explanation(
        sentence="the dry run before the drain failed: {reason}; nothing was changed",
        command="tarmak run show {work}",
    ),
    Cause.DIFF_DIFFERS: Explanation(
        sentence="diff differs from what was approved ({reason}); nothing was changed: plan again, read it,"
        " and approve that",
        command="tarmak run show {work}",
    ),
    Cause.DRAIN_FAILED: Explanation(
        sentence="the drain failed: {reason}; nothing was changed", command=_RETRY
    ),
    Cause.NOT_REPLACED: Explanation(
        sentence="its machine was to be made anew, and {reason}; its cordon stays", command=_REPLACE
    ),
    Cause.REPLACEMENT_LEFT: Explanation(
        sentence="the rollout ended before its machine was made anew; what it had before may still be there,"
        " drained",
        command="tarmak uncordon {instance}",
    ),
    Cause.CONVERGE_FAILED: Explanation(
        sentence="the converge failed: {reason}", command="tarmak run show {work}"
    ),
    Cause.HEALTH_FAILED: Explanation(
        sentence="it converged and did not become healthy: {reason}", command=_RETRY
    ),
    Cause.UNCORDON_FAILED: Explanation(
        sentence="its cordon could not be lifted: {reason}", command="tarmak uncordon {instance}"
    ),
    Cause.SILENT: Explanation(
        sentence="nothing was heard of its {state} for {silent}, though it is online", command=_RETRY
    ),
    Cause.FAILED_IN_SOAK: Explanation(sentence="it failed while it was watched: {reason}", command=_RETRY),
    Cause.NOTHING_TO_GO_BACK_TO: Explanation(
        sentence="it is not known what {instance} had before, so it can't be taken back", command=_SKIP
    ),
    Cause.REVOKED: Explanation(sentence="{instance} was taken off the roster", command=SHOW),
    Cause.DIFFERS: Explanation(
        sentence="it differs from what is desired of it ({desired}…), and was tried once",
        command="tarmak converge --instance {instance}",
    ),
    Cause.HAS_IT_ALREADY: Explanation(sentence="it has the bundle already, as its last report proves"),
    Cause.SKIPPED_BY_OPERATOR: Explanation(sentence="{by} left it out"),
    Cause.NEVER_BEGUN: Explanation(sentence="the rollout ended before its turn; it has what it had"),
    Cause.REVERTED_BY_OPERATOR: Explanation(
        sentence="{by} had it reverted; all that it changed is back", command=SHOW
    ),
    Cause.REVERTED_AFTER_FAILURE: Explanation(
        sentence="{instance} failed ({reason}), and all that was changed is back", command=SHOW
    ),
    Cause.ABORTED_BY_OPERATOR: Explanation(
        sentence="{by} aborted it; what it had not reached has what it had", command=SHOW
    ),
}
