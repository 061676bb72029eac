#!/bin/sh
# Makes release 2.0.0 of the example site in a new directory: the site as it is, with three lines changed.
#
#   deploy/demo/v2.sh DIR
set -eu

if [ $# -ne 1 ]; then
    echo "usage: $0 DIR (a new directory, for release 2.0.0 of the example site)" >&2
    exit 2
fi
site=$(CDPATH='' cd -- "$(dirname -- "$0")/../puppet" && pwd)
out=$1
if [ -e "$out" ]; then
    echo "$0: $out is there already; name a new directory" >&2
    exit 1
fi

# change FILE KEY FROM TO: a line that is not as expected is an error, not a release without a change.
change() {
    if ! grep -qx "$2: $3" "$out/$1"; then
        echo "$0: $1 has no line '$2: $3'" >&2
        exit 1
    fi
    sed "s|^$2: $3\$|$2: $4|" "$out/$1" > "$out/$1.new"
    mv "$out/$1.new" "$out/$1"
}

mkdir -p "$out"
cp -R "$site/." "$out/"
change tarmak.yaml version 1.0.0 2.0.0
change data/common.yaml profile::base::motd::release 1.0.0 2.0.0
change data/common.yaml site::map_count 262144 524288
