"""YAML from a stranger, read one part at a time, into nothing but texts, lists and mappings.

A loader builds the whole document, makes objects of its tags and follows its aliases; all three let a
hostile file of some bytes take gigabytes, and a report of 10,000 resources hundreds of megabytes. Here the
parser's events are consumed as they come: a part is built only when asked for, within limits, an alias
stands only for a scalar, and a tag means nothing.
"""

from collections.abc import Iterator
from typing import IO, Final

import yaml

from puppet_bridge.errors import ReportError

Node = str | None | list["Node"] | dict[str, "Node"]

MAX_DEPTH: Final = 24
MAX_NODES: Final = 100_000
MAX_ANCHORS: Final = 10_000
NULLS: Final = frozenset({"", "~", "null"})
LOADER: Final = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

OPENING: Final = (yaml.MappingStartEvent, yaml.SequenceStartEvent)
CLOSING: Final = (yaml.MappingEndEvent, yaml.SequenceEndEvent)


class YamlStream:
    """The one document of a stream; its methods consume it from where the last one ended."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._events = yaml.parse(stream, Loader=LOADER)
        self._anchors: dict[str, str | None] = {}
        self._nodes = 0

    def top_level(self) -> Iterator[tuple[str, "YamlStream"]]:
        """Yield each key of the document and this stream, which then stands before the key's value.

        Each value must be consumed before the next key is asked for. Raises ReportError.
        """
        self._expect(yaml.StreamStartEvent, yaml.DocumentStartEvent, yaml.MappingStartEvent)
        while (key := self._key()) is not None:
            yield key, self
        self._expect(yaml.DocumentEndEvent, yaml.StreamEndEvent)

    def entries(self) -> Iterator[tuple[str, Node]]:
        """Consume a mapping, yielding one entry at a time; each may have up to 100,000 parts."""
        if not isinstance(self._next(), yaml.MappingStartEvent):
            raise ReportError(reason="resource_statuses is no mapping")
        while (key := self._key()) is not None:
            yield key, self.node()

    def node(self) -> Node:
        """Consume one value and return it."""
        self._nodes = 0
        return self._build(self._next(), 0)

    def skip(self) -> None:
        """Consume one value and keep nothing of it."""
        depth = 0
        while True:
            event = self._next()
            depth += isinstance(event, OPENING)
            depth -= isinstance(event, CLOSING)
            if depth == 0:
                return

    def _expect(self, *kinds: type[yaml.Event]) -> None:
        for kind in kinds:
            if not isinstance(event := self._next(), kind):
                raise ReportError(reason=f"it is no single mapping: {type(event).__name__} out of place")

    def _key(self) -> str | None:
        event = self._next()
        if isinstance(event, yaml.MappingEndEvent):
            return None
        key = self._scalar(event)
        if key is None:
            raise ReportError(reason="a key is no text")
        return key

    def _build(self, event: yaml.Event, depth: int) -> Node:
        self._nodes += 1
        if depth > MAX_DEPTH or self._nodes > MAX_NODES:
            raise ReportError(reason=f"a value is deeper than {MAX_DEPTH} or has over {MAX_NODES} parts")
        if isinstance(event, yaml.SequenceStartEvent):
            return self._sequence(depth)
        if isinstance(event, yaml.MappingStartEvent):
            return self._mapping(depth)
        return self._scalar(event)

    def _sequence(self, depth: int) -> Node:
        items: list[Node] = []
        while not isinstance(event := self._next(), yaml.SequenceEndEvent):
            items.append(self._build(event, depth + 1))
        return items

    def _mapping(self, depth: int) -> Node:
        entries: dict[str, Node] = {}
        while not isinstance(event := self._next(), yaml.MappingEndEvent):
            key = self._build(event, depth + 1)
            entries[key if isinstance(key, str) else repr(key)] = self._build(self._next(), depth + 1)
        return entries

    def _scalar(self, event: yaml.Event) -> str | None:
        if isinstance(event, yaml.AliasEvent):
            if event.anchor not in self._anchors:
                raise ReportError(reason=f"alias {event.anchor!r} stands for no earlier scalar")
            return self._anchors[event.anchor]
        if not isinstance(event, yaml.ScalarEvent):
            raise ReportError(reason="a scalar was expected")
        plain = event.implicit[0]
        value = None if plain and event.value in NULLS else str(event.value)
        if event.anchor is not None and len(self._anchors) < MAX_ANCHORS:
            self._anchors[event.anchor] = value
        return value

    def _next(self) -> yaml.Event:
        try:
            return next(self._events)
        except StopIteration as error:
            raise ReportError(reason="it ends in the middle") from error
        except (yaml.YAMLError, ValueError, RecursionError) as error:
            raise ReportError(reason=f"not YAML: {' '.join(str(error).split())[:300]}") from error
