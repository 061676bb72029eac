"""The broker lets each identity do its own part and no more."""

from dataclasses import replace
from pathlib import Path, PurePosixPath

import pytest
from hypothesis import given

from broker.acl import MAX_HEADERS, SHIPPED, main, render_acl, render_config
from broker.errors import InvalidIdError
from broker.ids import ClusterName, InstanceId, OrchestratorName, Role
from broker.messages import MAX_MESSAGE
from broker.topics import Topics
from tests.strategies import instances, roles

SHIPPED_FILES = Path(__file__).parents[3] / "deploy" / "mosquitto"
MAIN = ClusterName("main")
EDGE = ClusterName("edge")
FIRST = OrchestratorName("orchestrator_1")
ACL = render_acl(clusters=(MAIN, EDGE), orchestrators=(FIRST,))
TOPICS = Topics(MAIN)


def rights(acl: str, user: str) -> set[tuple[str, str]]:
    """Return what `user` may do as (`read` or `write`, filter), by Mosquitto's rules for an ACL file."""
    granted = set()
    section = ""
    for line in acl.splitlines():
        word, _, rest = line.partition(" ")
        match word:
            case "user":
                section = rest
            case "topic" if section == user:
                granted |= grants(rest)
            case "pattern":
                granted |= grants(rest.replace("%u", user))
            case _:
                assert word in {"", "#", "topic"}
    return granted


def grants(rule: str) -> set[tuple[str, str]]:
    access, _, topic = rule.partition(" ")
    return {(way, topic) for way in ("read", "write") if way in access}


def may(user: str, way: str, topic: str, acl: str = ACL) -> bool:
    return any(way == granted and matches(filter_, topic) for granted, filter_ in rights(acl, user))


def matches(filter_: str, topic: str) -> bool:
    wanted, parts = filter_.split("/"), topic.split("/")
    return len(wanted) == len(parts) and all(
        want in ("+", part) for want, part in zip(wanted, parts, strict=True)
    )


@given(roles, instances)
def test_a_wing_can_do_its_part(role: Role, wing: InstanceId) -> None:
    """A wing reads its commands and its presence, and writes under its own id."""
    for topic in TOPICS.wing_filters(role, wing):
        assert may(wing, "read", topic)
    for topic in (TOPICS.presence(role, wing), TOPICS.facts(role, wing), TOPICS.log(role, wing)):
        assert may(wing, "write", topic)


@given(roles, instances, instances)
def test_a_wing_can_do_no_more(role: Role, wing: InstanceId, other: InstanceId) -> None:
    """A wing gives no command, and neither speaks nor listens in another's name."""
    assert not may(wing, "write", TOPICS.command_role(role))
    assert not may(wing, "write", TOPICS.command(role, wing))
    assert not may(wing, "read", TOPICS.facts(role, wing))
    if wing != other:
        for topic in (TOPICS.presence(role, other), TOPICS.facts(role, other), TOPICS.log(role, other)):
            assert not may(wing, "write", topic)
            assert not may(wing, "read", topic)
        assert not may(wing, "read", TOPICS.command(role, other))


def test_an_orchestrator_commands_and_listens() -> None:
    """An orchestrator writes commands and reads all the rest, and can't speak for a wing."""
    role, wing = Role("etcd"), InstanceId("etcd-1")
    said = (TOPICS.presence(role, wing), TOPICS.facts(role, wing), TOPICS.log(role, wing))
    assert may(FIRST, "write", TOPICS.command_role(role))
    assert may(FIRST, "write", TOPICS.command(role, wing))
    for topic in said:
        assert may(FIRST, "read", topic)
        assert not may(FIRST, "write", topic)


def test_a_name_that_is_not_in_the_file_commands_nothing() -> None:
    """An orchestrator's certificate alone is not enough: its name must be in the ACL."""
    assert not may("orchestrator_2", "write", TOPICS.command_role(Role("etcd")))


def test_every_cluster_of_the_broker_is_covered() -> None:
    """One broker may carry several clusters, and none that it was not told of."""
    assert may("etcd-1", "read", Topics(EDGE).command_role(Role("etcd")))
    assert may(FIRST, "write", Topics(EDGE).command_role(Role("etcd")))
    assert not may(FIRST, "write", Topics(ClusterName("other")).command_role(Role("etcd")))


def test_no_name_becomes_a_line() -> None:
    """A name with a line break in it would grant what it says."""
    with pytest.raises(InvalidIdError):
        render_acl(clusters=(ClusterName("main\ntopic readwrite #"),), orchestrators=())
    with pytest.raises(InvalidIdError):
        render_acl(clusters=(MAIN,), orchestrators=(OrchestratorName("a_b\ntopic readwrite #"),))


def options(config: str) -> dict[str, str]:
    lines = [line for line in config.splitlines() if line and not line.startswith("#")]
    found = {name: value for name, _, value in (line.partition(" ") for line in lines)}
    assert len(found) == len(lines), "Mosquitto refuses an option twice"
    return found


def test_the_configuration_says_what_the_protocol_demands() -> None:
    """Certificates only, the identity from the certificate, bounded queues, a file that spares replays."""
    found = options(render_config(SHIPPED))
    assert found["require_certificate"] == "true"
    assert found["allow_anonymous"] == "false"
    assert found["use_identity_as_username"] == "true"
    assert found["use_username_as_clientid"] == "true"
    assert found["tls_version"] == "tlsv1.2"
    assert found["max_queued_messages"] == "100000"
    assert int(found["max_queued_bytes"]) > 0
    assert int(found["max_inflight_messages"]) > 0
    assert int(found["max_packet_size"]) == MAX_MESSAGE + MAX_HEADERS
    assert found["persistence"] == "true"
    assert int(found["autosave_interval"]) <= 60
    assert found["persistent_client_expiration"] == "1d"
    assert "user" not in found


def test_the_configuration_is_where_it_was_told() -> None:
    """Address, files and user are the site's."""
    config = replace(
        SHIPPED,
        host="::1",
        port=1,
        ca=PurePosixPath("/a b/ca.pem"),
        persistence=PurePosixPath("/p"),
        user="root",
    )
    found = options(render_config(config))
    assert found["listener"] == "1 ::1"
    assert found["cafile"] == "/a b/ca.pem"
    assert found["persistence_location"] == "/p/"
    assert found["user"] == "root"


def test_a_path_with_a_line_break_is_refused() -> None:
    """No value can add an option of its own."""
    with pytest.raises(ValueError, match="unprintable"):
        render_config(replace(SHIPPED, ca=PurePosixPath("/x\nallow_anonymous true")))


def test_the_shipped_files_are_the_rendered_ones(capsys: pytest.CaptureFixture[str]) -> None:
    """What is in deploy/mosquitto came from this module, by the command in its docstring."""
    for which, name in (("conf", "tarmak.conf"), ("acl", "acl")):
        main([which])
        assert capsys.readouterr().out == (SHIPPED_FILES / name).read_text(encoding="utf-8")


def test_another_site_renders_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    """Clusters and orchestrators of a site are named on the command line, and checked."""
    main(["acl", "--cluster", "edge", "--cluster", "main", "--orchestrator", "lead_1"])
    rendered = capsys.readouterr().out
    assert rendered == render_acl(clusters=(EDGE, MAIN), orchestrators=(OrchestratorName("lead_1"),))
    with pytest.raises(SystemExit):
        main(["acl", "--cluster", "not_a_label"])
    assert "not_a_label" in capsys.readouterr().err
