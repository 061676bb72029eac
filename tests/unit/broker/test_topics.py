"""A topic is built and read in one place, and no name can break out of it."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.errors import InvalidIdError, TopicError
from broker.ids import ClusterName, InstanceId, Role
from broker.topics import Channel, Topic, Topics, parse
from tests.strategies import clusters, instances, roles

TOPICS = Topics(ClusterName("main"))
ROLE = Role("etcd")
INSTANCE = InstanceId("etcd-1")


def test_topics_are_those_of_the_protocol() -> None:
    """The words and their order are fixed: the broker's ACL speaks of them too."""
    assert TOPICS.command_role(ROLE) == "tarmak/1/main/cmd/etcd"
    assert TOPICS.command(ROLE, INSTANCE) == "tarmak/1/main/cmd/etcd/etcd-1"
    assert TOPICS.presence(ROLE, INSTANCE) == "tarmak/1/main/presence/etcd/etcd-1"
    assert TOPICS.facts(ROLE, INSTANCE) == "tarmak/1/main/evt/etcd/etcd-1"
    assert TOPICS.log(ROLE, INSTANCE) == "tarmak/1/main/log/etcd/etcd-1"


@given(clusters, roles, instances)
def test_every_topic_is_read_back(cluster: ClusterName, role: Role, instance: InstanceId) -> None:
    """What is built for any names of their form says the same when it is taken apart."""
    topics = Topics(cluster)
    for channel, topic in (
        (Channel.COMMAND, topics.command(role, instance)),
        (Channel.PRESENCE, topics.presence(role, instance)),
        (Channel.FACTS, topics.facts(role, instance)),
        (Channel.LOG, topics.log(role, instance)),
    ):
        assert parse(topic) == Topic(channel=channel, cluster=cluster, role=role, instance=instance)
    whole_role = Topic(channel=Channel.COMMAND, cluster=cluster, role=role, instance=None)
    assert parse(topics.command_role(role)) == whole_role


@pytest.mark.parametrize(
    "topic",
    [
        "",
        "/",
        "tarmak",
        "tarmak/1/main",
        "tarmak/1/main/cmd",
        "tarmak/1/main/cmd/",
        "tarmak/1/main/cmd/+",
        "tarmak/1/main/cmd/#",
        "tarmak/1/main/cmd/etcd/",
        "tarmak/1/main/cmd/etcd/etcd-1/",
        "tarmak/1/main/cmd/etcd/etcd-1/x",
        "tarmak/1/main/evt/etcd",
        "tarmak/1/main/presence/etcd",
        "tarmak/1/main/log/etcd",
        "tarmak/1/main/EVT/etcd/etcd-1",
        "tarmak/1/main/status/etcd/etcd-1",
        "tarmak/2/main/cmd/etcd",
        "other/1/main/cmd/etcd",
        "/tarmak/1/main/cmd/etcd",
        "tarmak/1//cmd/etcd",
        "tarmak/1/Main/cmd/etcd",
        "tarmak/1/main/cmd/etcd/orchestrator_1",
        "tarmak/1/main/cmd/etcd\n",
        "tarmak/1/main/cmd/-etcd",
        "tarmak/1/main/cmd/" + "a" * 64,
        "$SYS/broker/clients",
    ],
)
def test_what_is_no_topic_of_ours_is_refused(topic: str) -> None:
    """Another version, a filter, a part too few or too many, and a name of the wrong form."""
    with pytest.raises(TopicError) as refused:
        parse(topic)
    assert refused.value.topic == topic


@given(st.text())
def test_any_text_is_a_topic_or_a_topic_error(text: str) -> None:
    """No topic that a broker could deliver raises anything else."""
    with contextlib.suppress(TopicError):
        parse(f"tarmak/1/{text}")
    with contextlib.suppress(TopicError):
        parse(text)


@pytest.mark.parametrize("name", ["", "+", "#", "a/b", "A", "a_b", "a\x00", "a" * 64])
def test_no_name_breaks_out_of_its_place(name: str) -> None:
    """A wildcard or a slash in a name is refused where the topic would be built."""
    with pytest.raises(InvalidIdError):
        Topics(ClusterName(name))
    with pytest.raises(InvalidIdError):
        TOPICS.command_role(Role(name))
    with pytest.raises(InvalidIdError):
        TOPICS.facts(ROLE, InstanceId(name))


def test_a_wing_subscribes_to_its_own_only() -> None:
    """A wing hears its role's commands, its own, and its own presence."""
    assert TOPICS.wing_filters(ROLE, INSTANCE) == (
        "tarmak/1/main/cmd/etcd",
        "tarmak/1/main/cmd/etcd/etcd-1",
        "tarmak/1/main/presence/etcd/etcd-1",
    )


def test_an_orchestrator_subscribes_to_all_that_wings_say() -> None:
    """An orchestrator hears every wing of its cluster, and no command."""
    assert TOPICS.orchestrator_filters() == (
        "tarmak/1/main/presence/+/+",
        "tarmak/1/main/evt/+/+",
        "tarmak/1/main/log/+/+",
    )
