"""Every message of the mesh protocol, version 1, as frozen values, and the registry of their kinds.

Both sides of the wire speak only of these. What a message may hold is decided here once: a body that
does not fit its class never gets past `broker.codec`. Kinds are listed by hand in `KINDS`, so renaming
a class never changes the wire.

Times are aware UTC. Durations are whole seconds (`…_s`). Sizes are bytes.
"""

from collections.abc import Mapping
from typing import Final

from broker.messages.commands import (
    Ack,
    Cancel,
    Command,
    CommandBody,
    Control,
    Converge,
    Ping,
    Prefetch,
    Replay,
    Report,
    Target,
)
from broker.messages.facts import (
    CHAIN_HASH,
    CHAIN_START,
    Accepted,
    Attachment,
    Cancelled,
    Fact,
    FactBody,
    Failed,
    FinalAnswer,
    Interrupted,
    Rejected,
    RejectReason,
    RunChunk,
    RunOutcome,
    RunResult,
    RunWaiting,
    Started,
    Succeeded,
    Trouble,
    Truncated,
    Verdict,
)
from broker.messages.live import (
    Level,
    Live,
    LiveBody,
    LogLine,
    LogLines,
    Pong,
    Progress,
)
from broker.messages.presence import (
    Backlog,
    Birth,
    Heartbeat,
    Host,
    Lost,
    Observed,
    Offline,
    Presence,
    PresenceBody,
    Standing,
)

MAX_MESSAGE: Final = 256 * 1024
CHUNK: Final = 128 * 1024

Message = Command | Fact | Presence | Live

COMMAND_KINDS: Final[Mapping[str, type[CommandBody]]] = {
    "converge.v1": Converge,
    "prefetch.v1": Prefetch,
    "cancel.v1": Cancel,
    "ping.v1": Ping,
    "ack.v1": Ack,
    "replay.v1": Replay,
    "report.v1": Report,
}
FACT_KINDS: Final[Mapping[str, type[FactBody]]] = {
    "accepted.v1": Accepted,
    "rejected.v1": Rejected,
    "started.v1": Started,
    "run_waiting.v1": RunWaiting,
    "run_chunk.v1": RunChunk,
    "succeeded.v1": Succeeded,
    "failed.v1": Failed,
    "cancelled.v1": Cancelled,
    "interrupted.v1": Interrupted,
    "truncated.v1": Truncated,
    "trouble.v1": Trouble,
}
PRESENCE_KINDS: Final[Mapping[str, type[PresenceBody]]] = {
    "birth.v1": Birth,
    "heartbeat.v1": Heartbeat,
    "offline.v1": Offline,
    "lost.v1": Lost,
}
LIVE_KINDS: Final[Mapping[str, type[LiveBody]]] = {
    "log_lines.v1": LogLines,
    "progress.v1": Progress,
    "pong.v1": Pong,
}

__all__ = [
    "CHAIN_HASH",
    "CHAIN_START",
    "CHUNK",
    "MAX_MESSAGE",
    "Accepted",
    "Ack",
    "Attachment",
    "Backlog",
    "Birth",
    "Cancel",
    "Cancelled",
    "Command",
    "CommandBody",
    "Control",
    "Converge",
    "Fact",
    "FactBody",
    "Failed",
    "FinalAnswer",
    "Heartbeat",
    "Host",
    "Interrupted",
    "Level",
    "Live",
    "LiveBody",
    "LogLine",
    "LogLines",
    "Lost",
    "Message",
    "Observed",
    "Offline",
    "Ping",
    "Pong",
    "Prefetch",
    "Presence",
    "PresenceBody",
    "Progress",
    "RejectReason",
    "Rejected",
    "Replay",
    "Report",
    "RunChunk",
    "RunOutcome",
    "RunResult",
    "RunWaiting",
    "Standing",
    "Started",
    "Succeeded",
    "Target",
    "Trouble",
    "Truncated",
    "Verdict",
]
