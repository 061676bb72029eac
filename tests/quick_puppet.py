"""A Puppet that is quick, for tests in which it matters that runs happen and not what they manage.

It is an executable that takes `puppet apply`'s words and writes a real Puppet's report: of one file, whose
content is the manifest. What it applied last it remembers in its own state directory, so a first apply
changes that file, the next finds nothing to do, and a dry run says which of the two it would be.

A run can be held in its apply by a named pipe, from which it reads a line before it goes on.
"""

import os
from pathlib import Path
from typing import Final, Self

NAME: Final = "quick-puppet"
"""Ends as Puppet's own name does, by which a lock's holder is told from a stale one."""

_SCRIPT: Final = r"""#!/bin/sh
set -eu
noop=false
for word do
    case $word in
    --version) echo 7.23.0; exit 0 ;;
    --noop) noop=true ;;
    --certname=*) name=${word#*=} ;;
    --vardir=*) var=${word#*=} ;;
    --lastrunreport=*) report=${word#*=} ;;
    */manifests/site.pp) manifest=$word ;;
    esac
done
hold=$(dirname "$0")/hold-$name
if [ $noop = false ] && [ -p "$hold" ]; then read -r _ <"$hold"; rm "$hold"; fi
mkdir -p "$var"
if cmp -s "$manifest" "$var/applied"; then pending=false; else pending=true; fi
if [ $noop = false ] && [ $pending = true ]; then
    cp "$manifest" "$var/applied"; changed=true; status=changed; event=success; code=2
else
    changed=false; status=unchanged; event=noop; code=0
fi
if [ $pending = false ]; then events='[]'; else events="
    - property: content
      previous_value: before
      desired_value: after
      message: content changed
      status: $event"; fi
cat >"$report" <<REPORT
--- !ruby/object:Puppet::Transaction::Report
host: $name
report_format: 12
puppet_version: 7.23.0
status: $status
transaction_completed: true
noop: $noop
metrics:
  resources:
    name: resources
    values:
    - - total
      - Total
      - 1
resource_statuses:
  File[/made]:
    title: "/made"
    file: "$manifest"
    line: 1
    containment_path:
    - Stage[main]
    - Main
    - File[/made]
    failed: false
    failed_to_restart: false
    changed: $changed
    skipped: false
    events: $events
REPORT
exit $code
"""


class QuickPuppet:
    """The executable in `folder`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.executable = folder / NAME

    @classmethod
    def write(cls, folder: Path) -> Self:
        """Write it."""
        folder.mkdir(parents=True)
        puppet = cls(folder)
        puppet.executable.write_text(_SCRIPT)
        puppet.executable.chmod(0o755)
        return puppet

    def hold(self, instance: str) -> None:
        """Let the next apply on an instance wait until it is released."""
        os.mkfifo(self._pipe(instance))

    def release(self, instance: str) -> None:
        """Let the apply that waits, or soon will, go on."""
        self._pipe(instance).write_text("go\n")

    def _pipe(self, instance: str) -> Path:
        return self._folder / f"hold-{instance}"
