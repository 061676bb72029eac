"""How Puppet is called, so that an execution depends on the bundle, the host and nothing else.

Whatever a host's puppet.conf says (noop, a report server, a module path), a run means the same: each
instance has its own configuration and state directory, each execution its own report and log. The
environment is clean. Pure.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from puppet_bridge.execution import Identity

PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/opt/puppetlabs/bin"
MODULE_PATH: Final = (
    Path("/etc/puppet/code/modules"),
    Path("/usr/share/puppet/modules"),
    Path("/etc/puppetlabs/code/modules"),
    Path("/opt/puppetlabs/puppet/modules"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class PuppetSettings:
    """Which Puppet, where its state lies (`state`: this instance's own), and which lock is the host's.

    `modules` are the directories where the host's own packages put modules; a bundle sees them only if
    it declares `host_modules`. Without `lock` it is the one of the host's Puppet agent.
    """

    state: Path
    executable: str = "puppet"
    modules: tuple[Path, ...] = MODULE_PATH
    lock: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """Where the files of one execution lie: `own` is its own, `state` the instance's."""

    own: Path
    state: Path
    report: Path = field(init=False)
    log: Path = field(init=False)
    console: Path = field(init=False)
    facts: Path = field(init=False)
    gate: Path = field(init=False)

    def __post_init__(self) -> None:
        for name, path in (
            ("report", self.own / "report.yaml"),
            ("log", self.own / "log.jsonl"),
            ("console", self.own / "console.log"),
            ("gate", self.state / "puppet-gate"),
            ("facts", self.state / "var" / "facts.d"),
        ):
            object.__setattr__(self, name, path)


def apply_command(
    executable: str,
    *,
    places: Places,
    bundle: Path,
    host_modules: Sequence[Path],
    instance: Identity,
    noop: bool,
) -> tuple[str, ...]:
    """Return the command that applies `bundle` to `instance`."""
    modules = ":".join(str(path) for path in (bundle / "modules", *host_modules))
    return (
        executable,
        "apply",
        "--noop" if noop else "--no-noop",
        "--detailed-exitcodes",
        "--verbose",
        "--evaltrace",
        "--show_diff",
        "--no-splay",
        f"--certname={instance.instance}",
        f"--node_name_value={instance.instance}",
        "--environment=production",
        f"--hiera_config={bundle / 'hiera.yaml'}",
        f"--modulepath={modules}",
        f"--logdest={places.log}",
        *_directories(places),
        str(bundle / "manifests" / "site.pp"),
    )


def environment(state: Path) -> dict[str, str]:
    """Return the whole environment of a run: nothing of the wing's own is in it."""
    return {"PATH": PATH, "HOME": str(state), "LANG": "C.UTF-8"}


def directories(places: Places) -> tuple[Path, ...]:
    """Return the directories that must be there before Puppet is called."""
    state = places.state
    code = state / "conf" / "code" / "environments" / "production"
    return (places.own, places.facts, state / "run", state / "log", code)


def _directories(places: Places) -> tuple[str, ...]:
    state = places.state
    return (
        f"--confdir={state / 'conf'}",
        f"--codedir={state / 'conf' / 'code'}",
        f"--vardir={state / 'var'}",
        f"--publicdir={state / 'public'}",
        f"--statedir={state / 'var' / 'state'}",
        f"--rundir={state / 'run'}",
        f"--logdir={state / 'log'}",
        f"--pluginfactdest={places.facts}",
        "--report",
        "--reports=none",
        f"--lastrunreport={places.report}",
        f"--lastrunfile={places.own / 'summary.yaml'}",
    )
