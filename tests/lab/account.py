"""What the recorded facts of a fleet must say, whatever was done to it."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, Final

Event = Mapping[str, Any]
ANSWERS: Final = frozenset({"succeeded", "failed", "cancelled", "refused", "interrupted"})


def check(events: Sequence[Event]) -> None:
    """Check all of it; AssertionError names what does not hold."""
    _facts_are_whole(events)
    _commands_are_answered_once(events)
    _one_run_at_a_time(events)


def _facts_are_whole(events: Sequence[Event]) -> None:
    """Of each boot of a wing the facts are there without a hole, a double, or another order."""
    numbers = defaultdict[tuple[str, str], list[int]](list)
    for event in events:
        if event["seq"] is not None:
            numbers[event["instance"], event["boot"]].append(event["seq"])
    for (instance, boot), told in numbers.items():
        assert told == list(range(1, len(told) + 1)), f"{instance}, boot {boot}: {told}"


def _commands_are_answered_once(events: Sequence[Event]) -> None:
    """What an instance accepted has one final answer, and no more."""
    accepted = {event["body"]["command"] for event in events if event["kind"] == "accepted"}
    answers = Counter(event["body"]["command"] for event in events if event["kind"] in ANSWERS)
    double = {command: count for command, count in answers.items() if count > 1}
    assert not double, f"answered more than once: {double}"
    assert accepted <= set(answers), f"never answered: {accepted - set(answers)}"


def _one_run_at_a_time(events: Sequence[Event]) -> None:
    """Between a command's start and its answer no other one starts on that instance."""
    under_way: dict[str, str] = {}
    for event in events:
        body, instance = event["body"], event["instance"]
        match event["kind"]:
            case "started":
                before = under_way.get(instance)
                assert before is None, f"{instance}: {body['command']} started during {before}"
                under_way[instance] = body["command"]
            case kind if kind in ANSWERS and under_way.get(instance) == body["command"]:
                del under_way[instance]
            case "instance_online":
                under_way.pop(instance, None)
            case _:
                pass
