"""Hypothesis strategies for everything that goes over the mesh, for whoever tests with messages.

`messages()` makes any message that the protocol allows; the strategies of its parts are public too, so that
a test can hold one thing fixed: `commands(body=just(Ping()))`.
"""

from collections.abc import Mapping
from datetime import UTC
from typing import Any, Final, TypeVar

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from broker.ids import Boot, ClusterName, Digest, Epoch, InstanceId, MessageId, OrderId, Role, RunId
from broker.limits import MAX_INTEGER
from broker.messages import (
    CHAIN_HASH,
    COMMAND_KINDS,
    FACT_KINDS,
    LIVE_KINDS,
    PRESENCE_KINDS,
    Accepted,
    Ack,
    Attachment,
    Backlog,
    Birth,
    Cancel,
    Cancelled,
    Checked,
    Command,
    CommandBody,
    CommandCheck,
    Converge,
    CordonChanged,
    Drain,
    DrainBlocked,
    Drainer,
    DrainFinished,
    DrainPolicy,
    DrainStarted,
    EtcdCheck,
    Fact,
    FactBody,
    Failed,
    Health,
    HealthChecks,
    Heartbeat,
    Host,
    HttpCheck,
    Interrupted,
    Level,
    Live,
    LiveBody,
    LogLine,
    LogLines,
    Lost,
    Message,
    NodeCheck,
    Observed,
    Offline,
    OnTimeout,
    Ping,
    PodEvicted,
    Pong,
    Prefetch,
    Presence,
    PresenceBody,
    Progress,
    Rejected,
    RejectReason,
    Replay,
    Report,
    RunChunk,
    RunOutcome,
    RunResult,
    RunWaiting,
    Standing,
    Started,
    Succeeded,
    Target,
    Trouble,
    Truncated,
    Uncordon,
    VaultCheck,
    Verdict,
)

T = TypeVar("T")

labels: Final = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", fullmatch=True)
clusters: Final = labels.map(ClusterName)
roles: Final = labels.map(Role)
instances: Final = labels.map(InstanceId)
message_ids: Final = st.uuids().map(lambda uuid: MessageId(str(uuid)))
run_ids: Final = st.uuids().map(lambda uuid: RunId(str(uuid)))
order_ids: Final = st.uuids().map(lambda uuid: OrderId(str(uuid)))
digests: Final = st.binary(min_size=32, max_size=32).map(lambda raw: Digest(f"sha256:{raw.hex()}"))
boots: Final = st.builds(
    lambda count, random: Boot(f"{count}-{random.hex()}"),
    st.integers(1, 9_999_999_999),
    st.binary(min_size=4, max_size=4),
)
times: Final = st.datetimes(timezones=st.just(UTC))
counts: Final = st.integers(0, MAX_INTEGER)
positives: Final = st.integers(1, MAX_INTEGER)
epochs: Final = counts.map(Epoch)
texts: Final = st.text(max_size=200)
hashes: Final = st.binary(min_size=CHAIN_HASH, max_size=CHAIN_HASH)
file_names: Final = st.from_regex(r"[a-z0-9][a-z0-9._-]{0,63}", fullmatch=True)

targets: Final = st.builds(
    Target, cluster=clusters, role=roles, instance=st.none() | instances, boot=st.none() | boots
)

attachments: Final = st.builds(Attachment, name=file_names, digest=digests, size=counts, chunks=counts)
results: Final = st.builds(
    RunResult,
    run=run_ids,
    digest=digests,
    noop=st.booleans(),
    outcome=st.sampled_from(RunOutcome),
    verdict=st.none() | st.sampled_from(Verdict),
    reason=texts,
    changed=counts,
    failed=counts,
    skipped=counts,
    total=counts,
    exit_codes=st.lists(st.integers(-255, 255), max_size=4).map(tuple),
    started_at=times,
    finished_at=times,
    diff_hash=st.none() | texts,
    attachments=st.lists(attachments, max_size=3).map(tuple),
)

observations: Final = st.builds(
    Observed, digest=digests, verdict=st.sampled_from(Verdict), run=run_ids, at=times, reason=texts
)
standings: Final = st.builds(
    Standing,
    boot=boots,
    connection=positives,
    epoch=epochs,
    head_seq=counts,
    head=hashes,
    observed=st.none() | observations,
    running=st.none() | run_ids,
    backlog=st.lists(st.builds(Backlog, boot=boots, first=positives, last=positives), max_size=3).map(tuple),
    counters=st.dictionaries(texts, counts, max_size=4),
)
hosts: Final = st.builds(
    Host,
    hostname=texts,
    addresses=st.lists(texts, max_size=4).map(tuple),
    os=texts,
    kernel=texts,
    puppet=texts,
    cores=counts,
    memory=counts,
)
log_lines: Final = st.builds(
    LogLine,
    at=times,
    level=st.sampled_from(Level),
    source=texts,
    message=texts,
    file=st.none() | texts,
    line=st.none() | counts,
)
paths: Final = st.none() | texts
names: Final = st.lists(texts, max_size=4).map(tuple)
policies: Final = st.builds(
    DrainPolicy,
    drainer=st.none() | st.sampled_from(Drainer),
    timeout_s=positives,
    ignore_daemonsets=st.booleans(),
    delete_emptydir_data=st.booleans(),
    force=st.booleans(),
    grace_period_s=st.integers(-1, MAX_INTEGER),
    skip_wait_s=counts,
    critical=st.booleans(),
    disable_eviction=st.booleans(),
    on_timeout=st.sampled_from(OnTimeout),
    delete_selectors=st.lists(texts, min_size=1, max_size=4).map(tuple),
)
health_checks: Final = st.builds(
    HealthChecks,
    node=st.none() | st.builds(NodeCheck, timeout_s=positives),
    etcd=st.none()
    | st.builds(
        EtcdCheck,
        endpoint=texts,
        ca=paths,
        certificate=paths,
        key=paths,
        leaving=st.booleans(),
        timeout_s=positives,
    ),
    vault=st.none() | st.builds(VaultCheck, endpoint=texts, ca=paths, timeout_s=positives),
    commands=st.lists(
        st.builds(
            CommandCheck,
            command=st.lists(texts, min_size=1, max_size=4).map(tuple),
            timeout_s=positives,
        ),
        max_size=2,
    ).map(tuple),
    http=st.lists(
        st.builds(
            HttpCheck,
            url=texts.map(lambda rest: f"https://{rest}"),
            status=st.integers(100, 599),
            ca=paths,
            timeout_s=positives,
        ),
        max_size=2,
    ).map(tuple),
)
BODIES: Final[Mapping[type, SearchStrategy[Any]]] = {
    Converge: st.builds(
        Converge,
        run=run_ids,
        digest=digests,
        size=positives,
        url=texts,
        noop=st.booleans(),
        diff=st.none() | texts,
        timeout_s=positives,
        attempts=positives,
        confirm=st.booleans(),
    ),
    Prefetch: st.builds(Prefetch, digest=digests, size=positives, url=texts),
    Cancel: st.builds(Cancel, run=run_ids),
    Drain: st.builds(Drain, order=order_ids, owner=labels, policy=policies, takes_over=st.none() | labels),
    Uncordon: st.builds(Uncordon, order=order_ids, owner=labels),
    Health: st.builds(
        Health,
        order=order_ids,
        checks=health_checks,
        passes=positives,
        interval_s=positives,
        timeout_s=positives,
        since=st.none() | times,
    ),
    Ping: st.just(Ping()),
    Ack: st.builds(Ack, boot=boots, seq=counts),
    Replay: st.builds(Replay, boot=boots, first=positives, limit=positives),
    Report: st.just(Report()),
    Accepted: st.builds(Accepted, command=message_ids),
    Rejected: st.builds(
        Rejected, command=message_ids, reason=st.sampled_from(RejectReason), detail=texts, epoch=epochs
    ),
    Started: st.builds(Started, command=message_ids, run=st.none() | run_ids),
    RunWaiting: st.builds(RunWaiting, command=message_ids, run=run_ids, reason=texts),
    RunChunk: st.builds(
        RunChunk,
        run=run_ids,
        name=file_names,
        index=counts,
        count=positives,
        content=st.binary(max_size=1000),
    ),
    Succeeded: st.builds(Succeeded, command=message_ids, result=st.none() | results),
    Failed: st.builds(Failed, command=message_ids, reason=texts, result=st.none() | results),
    Cancelled: st.builds(Cancelled, command=message_ids, reason=texts, result=st.none() | results),
    Interrupted: st.builds(Interrupted, command=message_ids, reason=texts),
    CordonChanged: st.builds(
        CordonChanged,
        command=message_ids,
        order=order_ids,
        node=texts,
        cordoned=st.booleans(),
        owned=st.booleans(),
        reason=texts,
    ),
    DrainStarted: st.builds(
        DrainStarted,
        command=message_ids,
        order=order_ids,
        drainer=st.sampled_from(Drainer),
        node=texts,
        total=counts,
        pods=names,
    ),
    PodEvicted: st.builds(PodEvicted, command=message_ids, order=order_ids, pod=texts, took_ms=counts),
    DrainBlocked: st.builds(
        DrainBlocked,
        command=message_ids,
        order=order_ids,
        pod=texts,
        since=times,
        reason=texts,
        budget=st.none() | texts,
        healthy=st.none() | counts,
        needed=st.none() | counts,
    ),
    DrainFinished: st.builds(
        DrainFinished,
        command=message_ids,
        order=order_ids,
        took_ms=counts,
        evicted=counts,
        left=names,
        output=texts,
    ),
    Checked: st.builds(
        Checked,
        command=message_ids,
        order=order_ids,
        check=texts,
        passed=st.booleans(),
        saw=texts,
        passes=counts,
    ),
    Truncated: st.builds(Truncated, boot=boots, first=positives, last=positives),
    Trouble: st.builds(Trouble, what=texts, detail=texts),
    Birth: st.builds(Birth, standing=standings, version=texts, host=hosts),
    Heartbeat: st.builds(Heartbeat, standing=standings),
    Offline: st.builds(Offline, boot=boots, connection=positives),
    Lost: st.builds(Lost, boot=boots, connection=positives),
    LogLines: st.builds(LogLines, run=run_ids, lines=st.lists(log_lines, max_size=4).map(tuple)),
    Progress: st.builds(
        Progress, run=run_ids, execution=positives, done=counts, total=counts, resource=texts
    ),
    Pong: st.builds(Pong, boot=boots, received_at=times),
}


def bodies(kinds: Mapping[str, type[T]]) -> SearchStrategy[T]:
    """Return any body of the given registry; KeyError for a kind that has no strategy here."""
    return st.one_of([BODIES[body] for body in kinds.values()])


def commands(body: SearchStrategy[CommandBody] | None = None) -> SearchStrategy[Command]:
    """Return any command, or any with the given body."""
    return st.builds(
        Command,
        id=message_ids,
        at=times,
        caused_by=st.none() | message_ids,
        target=targets,
        epoch=epochs,
        not_after=times,
        body=bodies(COMMAND_KINDS) if body is None else body,
    )


def facts(body: SearchStrategy[FactBody] | None = None) -> SearchStrategy[Fact]:
    """Return any fact, or any with the given body."""
    return st.builds(
        Fact,
        id=message_ids,
        at=times,
        caused_by=st.none() | message_ids,
        boot=boots,
        seq=positives,
        prev=hashes,
        body=bodies(FACT_KINDS) if body is None else body,
    )


def presences(body: SearchStrategy[PresenceBody] | None = None) -> SearchStrategy[Presence]:
    """Return any word on a wing's presence, or any with the given body."""
    return st.builds(
        Presence,
        id=message_ids,
        at=times,
        caused_by=st.none() | message_ids,
        body=bodies(PRESENCE_KINDS) if body is None else body,
    )


def lives(body: SearchStrategy[LiveBody] | None = None) -> SearchStrategy[Live]:
    """Return any live statement, or any with the given body."""
    return st.builds(
        Live,
        id=message_ids,
        at=times,
        caused_by=st.none() | message_ids,
        body=bodies(LIVE_KINDS) if body is None else body,
    )


def messages() -> SearchStrategy[Message]:
    """Return any message of the protocol."""
    return st.one_of(commands(), facts(), presences(), lives())
