"""What can go wrong on the mesh, as one tree, so that a caller catches just what it can answer.

MeshError
├── InvalidIdError        a name that is not of its form (also a ValueError)
├── CodecError            bytes that are no message; names the field
│   └── UnknownKindError  a message of a kind that this version does not know
├── TopicError            a topic that is none of ours
├── SignatureError        unsigned, signed by a stranger, or altered
├── KeyFormatError        text that is no Ed25519 key (also a ValueError)
├── NotConnectedError     the broker can't be reached; names the endpoint
├── MessageTooLargeError  an encoded message over the protocol's limit
└── BrokerStartError      a private broker that did not start; carries its own words
"""


class MeshError(Exception):
    """The root of every error that the mesh raises."""


class InvalidIdError(MeshError, ValueError):
    """A name is not of the form that the protocol demands."""

    def __init__(self, *, field: str, value: str) -> None:
        self.field = field
        self.value = value
        super().__init__(f"{field}: {value[:80]!r} is not a valid {field}")


class CodecError(MeshError):
    """Bytes are not a message of the protocol; `field` is the path of what is wrong, `$` the whole."""

    def __init__(self, *, field: str, reason: str) -> None:
        self.field = field
        self.reason = reason
        super().__init__(f"{field}: {reason}")


class UnknownKindError(CodecError):
    """A message is of a kind that this version does not know: to be counted and dropped, no more."""

    def __init__(self, *, kind: str) -> None:
        self.kind = kind[:80]
        super().__init__(field="$.kind", reason=f"unknown kind {self.kind!r}")


class TopicError(MeshError):
    """A topic is not one of the protocol's."""

    def __init__(self, *, topic: str) -> None:
        self.topic = topic
        super().__init__(f"not a topic of the mesh: {topic[:200]!r}")


class SignatureError(MeshError):
    """A payload is not signed by a key that its reader trusts."""

    def __init__(self, *, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)


class KeyFormatError(MeshError, ValueError):
    """A configured key can't be read; `reason` says what form it should have, and never holds the key."""

    def __init__(self, *, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)


class NotConnectedError(MeshError):
    """The broker at `endpoint` can't be reached or refused us."""

    def __init__(self, *, endpoint: str, reason: str) -> None:
        self.endpoint = endpoint
        self.reason = reason
        super().__init__(f"broker {endpoint}: {reason}")


class MessageTooLargeError(MeshError):
    """An encoded message has more bytes than the protocol allows."""

    def __init__(self, *, size: int, limit: int) -> None:
        self.size = size
        self.limit = limit
        super().__init__(f"message of {size} bytes is over the limit of {limit}")


class BrokerStartError(MeshError):
    """A private broker did not start; `output` is what it said."""

    def __init__(self, *, reason: str, output: str = "") -> None:
        self.reason = reason
        self.output = output
        super().__init__(f"{reason}: {output.strip()}" if output.strip() else reason)
