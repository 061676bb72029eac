#!/bin/sh
# Makes release 2.0.0 of the example site in a new directory: the site as it is, with three lines changed.
#
#   deploy/demo/v2.sh DIR
set -eu

if [ $# -ne 1 ]; then
    echo "usage: $0 DIR (a new directory, for release 2.0.0 of the example site)" >&2
    exit 2
fi
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
out=$1
. "$here/release.sh"

refuse_old
mkdir -p "$out"
cp -R "$(dirname -- "$here")/puppet/." "$out/"
change tarmak.yaml version 1.0.0 2.0.0
change data/common.yaml profile::base::motd::release 1.0.0 2.0.0
change data/common.yaml site::map_count 262144 524288
