"""The strategy's text: every field, every default, and errors that name the field as it was written."""

from datetime import time
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from broker import ids
from broker.messages import (
    CommandCheck,
    Drainer,
    DrainPolicy,
    EtcdCheck,
    HealthChecks,
    HttpCheck,
    NodeCheck,
    OnTimeout,
    VaultCheck,
)
from orchestrator import durations
from orchestrator.domain.rollout.reading import drain_from, drain_plain, strategy_from, strategy_plain
from orchestrator.domain.rollout.strategy import Amount, OnFailure, Strategy, StrategyError, Window

ETCD, MASTER, WORKER = (ids.role(name) for name in ("etcd", "master", "worker"))
NODE = HealthChecks(node=NodeCheck())

WHOLE = """
roles: [worker, etcd]
max_unavailable: 30%
canary: 2
soak: 5s
canary_soak: 2m
max_failures: 20%
min_finished: 5
progress_deadline: 1h
health:
  passes: 4
  interval: 5
  timeout: 10m
  roles:
    worker:
      node: {timeout: 20s}
      commands: [{command: [/bin/true, -x], timeout: 5s}]
      http: [{url: "http://127.0.0.1/healthz", status: 204, ca: /ca.pem, timeout: 3s}]
    etcd:
      etcd: {endpoint: "https://127.0.0.1:2379", ca: /ca, certificate: /crt, key: /key, timeout: 4s}
      vault: {endpoint: "https://127.0.0.1:8200", ca: /ca, timeout: 6s}
drain:
  drainer: kubernetes
  timeout: 20m
  ignore_daemonsets: false
  delete_emptydir_data: true
  force: true
  grace_period: 30s
  skip_wait_for_delete_timeout: 1m
  critical: true
  disable_eviction: true
  on_timeout: delete
  delete_selectors: [app=cache]
prefetch: false
on_failure: revert
window: {days: [mon, fri], begin: "22:00", end: "04:00", zone: Europe/Berlin}
run_timeout: 1h30m
"""


def test_every_field_is_read() -> None:
    """The example that has all of them is the strategy that it says."""
    assert strategy_from(yaml.safe_load(WHOLE)) == Strategy(
        roles=(WORKER, ETCD),
        max_unavailable=Amount(value=30, percent=True),
        canary=2,
        soak_s=5,
        canary_soak_s=120,
        max_failures=Amount(value=20, percent=True),
        min_finished=5,
        progress_deadline_s=3600,
        health={
            MASTER: NODE,
            WORKER: HealthChecks(
                node=NodeCheck(timeout_s=20),
                commands=(CommandCheck(command=("/bin/true", "-x"), timeout_s=5),),
                http=(HttpCheck(url="http://127.0.0.1/healthz", status=204, ca="/ca.pem", timeout_s=3),),
            ),
            ETCD: HealthChecks(
                etcd=EtcdCheck(ca="/ca", certificate="/crt", key="/key", timeout_s=4),
                vault=VaultCheck(ca="/ca", timeout_s=6),
            ),
        },
        passes=4,
        interval_s=5,
        health_timeout_s=600,
        drain=DrainPolicy(
            drainer=Drainer.KUBERNETES,
            timeout_s=1200,
            ignore_daemonsets=False,
            delete_emptydir_data=True,
            force=True,
            grace_period_s=30,
            skip_wait_s=60,
            critical=True,
            disable_eviction=True,
            on_timeout=OnTimeout.DELETE,
            delete_selectors=("app=cache",),
        ),
        prefetch=False,
        on_failure=OnFailure.REVERT,
        window=Window(begin=time(22), end=time(4), days=("mon", "fri"), zone="Europe/Berlin"),
        run_timeout_s=5400,
    )


def test_what_is_left_out_has_its_default() -> None:
    """Nothing at all is the default strategy; so is its own text, read back."""
    assert strategy_from({}) == Strategy()
    assert strategy_from(strategy_plain(Strategy())) == Strategy()
    assert drain_from({}) == DrainPolicy()


@pytest.mark.parametrize(
    ("plain", "changes"),
    [
        ({"max_unavailable": 3}, {"max_unavailable": Amount(value=3)}),
        ({"max_unavailable": "3"}, {"max_unavailable": Amount(value=3)}),
        ({"max_unavailable": "100%"}, {"max_unavailable": Amount(value=100, percent=True)}),
        ({"canary": 0}, {"canary": 0}),
        ({"soak": 90}, {"soak_s": 90}),
        ({"soak": "90"}, {"soak_s": 90}),
        ({"soak": "0s"}, {"soak_s": 0}),
        ({"soak": "10m"}, {"soak_s": 600}),
        ({"canary_soak": 0}, {"canary_soak_s": 0}),
        ({"drain": "none"}, {"drain": None}),
        ({"drain": {}}, {"drain": DrainPolicy()}),
        ({"drain": {"drainer": "none"}}, {"drain": DrainPolicy(drainer=Drainer.NONE)}),
        ({"drain": {"grace_period": 0}}, {"drain": DrainPolicy(grace_period_s=0)}),
        ({"window": None}, {"window": None}),
        (
            {"window": {"begin": "01:00", "end": "00:00"}},
            {"window": Window(begin=time(1), end=time(0))},
        ),
        ({"health": {"roles": {}}}, {}),
        (
            {"health": {"roles": {"worker": {}}}},
            {"health": {MASTER: NODE, WORKER: HealthChecks()}},
        ),
        (
            {"health": {"roles": {"etcd": {"etcd": {}}}}},
            {"health": {MASTER: NODE, WORKER: NODE, ETCD: HealthChecks(etcd=EtcdCheck())}},
        ),
        (
            {"health": {"roles": {"vault": {"vault": {}}}}},
            {"health": {MASTER: NODE, WORKER: NODE, ids.role("vault"): HealthChecks(vault=VaultCheck())}},
        ),
    ],
)
def test_a_field_alone_changes_that_alone(plain: dict[str, Any], changes: dict[str, Any]) -> None:
    """Everything else keeps its default; a role that is not named keeps its checks."""
    assert strategy_from(plain) == Strategy(**changes)


@pytest.mark.parametrize(
    ("plain", "message"),
    [
        ({"max_unavailble": 1}, "max_unavailble: unknown; did you mean 'max_unavailable'?"),
        ({True: 1}, "True: unknown; known are"),
        ([], "strategy: a list is no mapping of fields"),
        ({"roles": "worker"}, "roles: 'worker' is no list"),
        ({"roles": ["worker", "A b"]}, "roles[1]: 'A b' is no role"),
        ({"roles": [None]}, "roles[0]: null is no role"),
        ({"roles": ["etcd", "etcd"]}, "roles: a role is there twice"),
        ({"max_unavailable": 0}, "max_unavailable: '0' is neither a count from 1"),
        ({"max_unavailable": "101%"}, "max_unavailable: '101%' is more than 100%"),
        ({"max_unavailable": 1.5}, "max_unavailable: 1.5 is neither a count"),
        ({"max_unavailable": True}, "max_unavailable: true is neither a count"),
        ({"canary": -1}, "canary: -1 is no whole number from 0"),
        ({"canary": "1"}, "canary: '1' is no whole number"),
        ({"canary": True}, "canary: true is no whole number"),
        ({"soak": -1}, "soak: -1 is no length of time"),
        ({"soak": "soon"}, "soak: 'soon' is no length of time; write it as 90, 90s, 10m or 1h"),
        ({"soak": None}, "soak: null is no length of time"),
        ({"soak": 1.5}, "soak: 1.5 is no length of time"),
        ({"soak": "9999d"}, "soak: '9999d' is no length of time"),
        ({"canary_soak": True}, "canary_soak: true is no length of time"),
        ({"max_failures": "0%"}, "max_failures: '0%' is neither"),
        ({"min_finished": 0}, "min_finished: 0 is no whole number from 1"),
        ({"progress_deadline": 0}, "progress_deadline: 0 is not from 1s to"),
        ({"health": None}, "health: null is no mapping of fields"),
        ({"health": {"pases": 3}}, "health.pases: unknown; did you mean 'passes'?"),
        ({"health": {"passes": 0}}, "health.passes: 0 is no whole number from 1"),
        ({"health": {"interval": 0}}, "health.interval: 0 is not from 1s"),
        ({"health": {"timeout": "0s"}}, "health.timeout: '0s' is not from 1s"),
        ({"health": {"roles": []}}, "health.roles: a list is no mapping"),
        ({"health": {"roles": {"A b": {}}}}, "health.roles: 'A b' is no role"),
        ({"health": {"roles": {"worker": None}}}, "health.roles.worker: null is no mapping"),
        ({"health": {"roles": {"worker": {"htp": []}}}}, "health.roles.worker.htp: unknown; did you mean"),
        ({"health": {"roles": {"worker": {"node": None}}}}, "health.roles.worker.node: null is no mapping"),
        (
            {"health": {"roles": {"worker": {"node": {"timeout": 0}}}}},
            "health.roles.worker.node.timeout: 0 is not from 1s",
        ),
        (
            {"health": {"roles": {"etcd": {"etcd": {"endpoint": "127.0.0.1"}}}}},
            "health.roles.etcd.etcd.endpoint: '127.0.0.1' is neither http:// nor https://",
        ),
        ({"health": {"roles": {"etcd": {"etcd": {"ca": 1}}}}}, "health.roles.etcd.etcd.ca: 1 is no text"),
        (
            {"health": {"roles": {"etcd": {"etcd": {"leaving": True}}}}},
            "health.roles.etcd.etcd.leaving: unknown",
        ),
        (
            {"health": {"roles": {"vault": {"vault": {"endpoint": ""}}}}},
            "health.roles.vault.vault.endpoint: '' is no text",
        ),
        (
            {"health": {"roles": {"worker": {"commands": [{"command": "true"}]}}}},
            "health.roles.worker.commands[0].command: 'true' is no list",
        ),
        (
            {"health": {"roles": {"worker": {"commands": [{"command": ["test", 1]}]}}}},
            "health.roles.worker.commands[0].command[1]: 1 is no text; write it in quotes",
        ),
        (
            {"health": {"roles": {"worker": {"commands": [{"command": ["x"]}, {}]}}}},
            "health.roles.worker.commands[1].command: no command",
        ),
        (
            {"health": {"roles": {"worker": {"http": [{"url": "ftp://x"}]}}}},
            "health.roles.worker.http[0].url: 'ftp://x' is neither http:// nor https://",
        ),
        (
            {"health": {"roles": {"worker": {"http": [{}]}}}},
            "health.roles.worker.http[0].url: it is needed",
        ),
        (
            {"health": {"roles": {"worker": {"http": [{"url": "http://x", "status": 42}]}}}},
            "health.roles.worker.http[0].status: 42 is no whole number from 100 to 599",
        ),
        ({"drain": "no"}, "drain: 'no' is neither none nor a mapping"),
        ({"drain": None}, "drain: null is no mapping"),
        ({"drain": False}, "drain: false is no mapping"),
        ({"drain": {"froce": True}}, "drain.froce: unknown; did you mean 'force'?"),
        ({"drain": {"drainer": "kubectl"}}, "drain.drainer: 'kubectl' is none of kubernetes, command, none"),
        ({"drain": {"timeout": 0}}, "drain.timeout: 0 is not from 1s"),
        ({"drain": {"ignore_daemonsets": "yes"}}, "drain.ignore_daemonsets: 'yes' is neither true nor false"),
        ({"drain": {"delete_emptydir_data": 1}}, "drain.delete_emptydir_data: 1 is neither true nor false"),
        ({"drain": {"force": None}}, "drain.force: null is neither true nor false"),
        ({"drain": {"grace_period": -1}}, "drain.grace_period: -1 is no length of time"),
        ({"drain": {"skip_wait_for_delete_timeout": "x"}}, "drain.skip_wait_for_delete_timeout: 'x' is no"),
        ({"drain": {"critical": []}}, "drain.critical: a list is neither"),
        ({"drain": {"disable_eviction": {}}}, "drain.disable_eviction: a mapping is neither"),
        ({"drain": {"on_timeout": "fail"}}, "drain.on_timeout: 'fail' is none of uncordon, keep, delete"),
        ({"drain": {"on_timeout": "delete"}}, "drain.delete_selectors: empty"),
        ({"drain": {"delete_selectors": "app=x"}}, "drain.delete_selectors: 'app=x' is no list"),
        ({"prefetch": "no"}, "prefetch: 'no' is neither true nor false"),
        ({"on_failure": "stop"}, "on_failure: 'stop' is none of pause, revert"),
        ({"on_failure": ["pause"]}, "on_failure: a list is none of pause, revert"),
        ({"window": "always"}, "window: 'always' is no mapping"),
        ({"window": {"begin": "22:00"}}, "window.end: it is needed"),
        ({"window": {"begin": 1320, "end": "04:00"}}, "window.begin: 1320 is no time of a day; write it in"),
        ({"window": {"begin": "24:00", "end": "04:00"}}, "window.begin: '24:00' is no time of a day"),
        ({"window": {"begin": "04:00", "end": "04:00"}}, "window: it begins when it ends"),
        ({"window": {"begin": "1:00", "end": "04:00"}}, "window.begin: '1:00' is no time"),
        (
            {"window": {"begin": "01:00", "end": "04:00", "days": ["monday"]}},
            "window.days: 'monday' is none of mon",
        ),
        (
            {"window": {"begin": "01:00", "end": "04:00", "zone": "Mars/Olympus"}},
            "window.zone: 'Mars/Olympus' is no time zone",
        ),
        ({"run_timeout": "25h"}, "run_timeout: '25h' is not from 1s to 1d"),
    ],
)
def test_each_error_names_the_field_as_it_was_written(plain: Any, message: str) -> None:
    """The path, what stands there, and what should."""
    with pytest.raises(StrategyError) as caught:
        strategy_from(plain)
    assert str(caught.value).startswith(message), str(caught.value)
    assert str(caught.value).startswith(caught.value.field)


def test_a_drain_alone_names_its_fields_alone() -> None:
    """A bare drain's policy is no part of a strategy."""
    with pytest.raises(StrategyError, match=r"^policy\.froce: unknown; did you mean 'force'"):
        drain_from({"froce": True}, "policy")


seconds = st.integers(0, 366 * 86_400)
from_one = st.integers(1, 366 * 86_400)
roles = st.from_regex(ids.LABEL, fullmatch=True).map(ids.role)
words = st.text(min_size=1)
urls = words.map(lambda text: f"https://{text}")
amounts = st.builds(Amount, value=st.integers(1, 100), percent=st.booleans())
checks = st.builds(
    HealthChecks,
    node=st.none() | st.builds(NodeCheck, timeout_s=from_one),
    etcd=st.none()
    | st.builds(
        EtcdCheck,
        endpoint=urls,
        ca=st.none() | words,
        certificate=st.none() | words,
        key=st.none() | words,
        leaving=st.just(value=False),
        timeout_s=from_one,
    ),
    vault=st.none() | st.builds(VaultCheck, endpoint=urls, ca=st.none() | words, timeout_s=from_one),
    commands=st.lists(
        st.builds(CommandCheck, command=st.lists(words, min_size=1).map(tuple), timeout_s=from_one)
    ).map(tuple),
    http=st.lists(
        st.builds(HttpCheck, url=urls, status=st.integers(100, 599), ca=st.none() | words, timeout_s=from_one)
    ).map(tuple),
)
policies = st.builds(
    DrainPolicy,
    drainer=st.none() | st.sampled_from(Drainer),
    timeout_s=from_one,
    ignore_daemonsets=st.booleans(),
    delete_emptydir_data=st.booleans(),
    force=st.booleans(),
    grace_period_s=st.integers(-1, 86_400),
    skip_wait_s=seconds,
    critical=st.booleans(),
    disable_eviction=st.booleans(),
    on_timeout=st.sampled_from(OnTimeout),
    delete_selectors=st.lists(words, min_size=1).map(tuple),
)
windows = st.builds(
    Window,
    begin=st.integers(0, 11).map(time),
    end=st.builds(time, st.integers(12, 23), st.integers(0, 59)),
    days=st.lists(st.sampled_from(["mon", "sun"])).map(tuple),
    zone=st.sampled_from(["UTC", "Europe/Berlin"]),
)
strategies = st.builds(
    Strategy,
    roles=st.lists(roles, unique=True).map(tuple),
    max_unavailable=amounts,
    canary=st.integers(0, 1000),
    soak_s=seconds,
    canary_soak_s=seconds,
    max_failures=amounts,
    min_finished=st.integers(1, 1000),
    progress_deadline_s=from_one,
    health=st.dictionaries(roles, checks),
    passes=st.integers(1, 100),
    interval_s=from_one,
    health_timeout_s=from_one,
    drain=st.none() | policies,
    prefetch=st.booleans(),
    on_failure=st.sampled_from(OnFailure),
    window=st.none() | windows,
    run_timeout_s=st.integers(1, 86_400),
)


@given(strategies)
def test_a_strategy_that_was_written_is_read_back(strategy: Strategy) -> None:
    """Its text says all of it: the same fields, and for each role the same checks."""
    plain = strategy_plain(strategy)
    back = strategy_from(plain)
    assert strategy_plain(back) == plain
    assert {role: back.health_of(role) for role in back.health} == {
        role: strategy.health_of(role) for role in {*strategy.health, MASTER, WORKER}
    }
    assert Strategy(**{**_fields(back), "health": {}}) == Strategy(**{**_fields(strategy), "health": {}})


def _fields(strategy: Strategy) -> dict[str, Any]:
    return {name: getattr(strategy, name) for name in strategy.__dataclass_fields__}


@given(policies)
def test_a_policy_that_was_written_is_read_back(policy: DrainPolicy) -> None:
    """A bare drain's policy goes the same way."""
    assert drain_from(drain_plain(policy)) == policy


@given(seconds)
def test_a_length_of_time_that_was_written_is_read_back(length_s: int) -> None:
    """Each second of it."""
    assert durations.seconds_of(durations.written(length_s)) == length_s
