"""What the recorded facts of a fleet must say, whatever was done to it."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, Final

Event = Mapping[str, Any]
DISRUPTED: Final = frozenset({"draining", "converging", "verifying", "uncordoning"})
ANSWERS: Final = frozenset({"succeeded", "failed", "cancelled", "refused", "interrupted"})


def check(events: Sequence[Event]) -> None:
    """Check all of it; AssertionError names what does not hold."""
    _facts_are_whole(events)
    _commands_are_answered_once(events)
    _one_run_at_a_time(events)
    _one_of_a_role_is_away(events)


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


def _one_of_a_role_is_away(events: Sequence[Event]) -> None:
    """A rollout begins to disrupt an instance only while all others of its role are there and at rest."""
    disrupted, lost = defaultdict[str, set[str]](set), defaultdict[str, set[str]](set)
    for event in events:
        role, instance = event["role"], event["instance"]
        match event["kind"]:
            case "instance_lost" | "instance_offline":
                lost[role].add(instance)
            case "instance_online" | "instance_revoked":
                lost[role].discard(instance)
            case "step_moved" if event["body"]["state"] in DISRUPTED:
                if instance not in disrupted[role]:
                    others = (disrupted[role] | lost[role]) - {instance}
                    assert not others, f"{instance} is disrupted while {others} are away"
                disrupted[role].add(instance)
            case "step_moved":
                disrupted[role].discard(instance)
            case _:
                pass
