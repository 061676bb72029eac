# What v2.sh and v3.sh are made of; they source this file, after they have set `out` to their new directory.

refuse_old() {
    if [ -e "$out" ]; then
        echo "$0: $out is there already; name a new directory" >&2
        exit 1
    fi
}

# change FILE KEY FROM TO: a line that is not as expected is an error, not a release without a change.
change() {
    if ! grep -qx "$2: $3" "$out/$1"; then
        echo "$0: $1 has no line '$2: $3'" >&2
        exit 1
    fi
    sed "s|^$2: $3\$|$2: $4|" "$out/$1" > "$out/$1.new"
    mv "$out/$1.new" "$out/$1"
}
