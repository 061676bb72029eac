#!/bin/sh
# Makes release 3.0.0 of the example site in a new directory: 2.0.0 with volumes on the new disk of worker-2,
# which nobody has mounted yet. A review passes that, and so does a dry run.
#
#   deploy/demo/v3.sh DIR
set -eu

if [ $# -ne 1 ]; then
    echo "usage: $0 DIR (a new directory, for release 3.0.0 of the example site)" >&2
    exit 2
fi
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
out=$1
. "$here/release.sh"

refuse_old
"$here/v2.sh" "$out"
change tarmak.yaml version 2.0.0 3.0.0
change data/common.yaml profile::base::motd::release 2.0.0 3.0.0

cat >"$out/data/instance/worker-2.yaml" <<'YAML'
---
# It has got a second disk, for volumes.
profile::worker::local_volumes: [/var/lib/volumes, /mnt/disk-2/volumes]
YAML
