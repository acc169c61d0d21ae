# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
# How root starts the demonstration without its rights: as a user of its own,
# from a copy of the checkout, for the checkout may lie where only root reads.
# Read by demo.sh, not run. It sets $root, the checkout, and $cache.
# shellcheck shell=sh disable=SC2034,SC2086,SC2154

user=imaging-demo
# What the copy has.
parts='health_imaging health_imaging_worklist health_orthanc his-utils
    LICENSE README.rst pyproject.toml setup.cfg'

is_root() {
    [ "$(id -u)" = 0 ]
}

make_user() {
    if ! getent passwd "$user" >/dev/null; then
        say "Making the system user $user for the servers"
        useradd --system --user-group --no-create-home \
            --home-dir /nonexistent --shell /usr/sbin/nologin "$user" \
            || fail "The user $user could not be made."
    fi
    [ "$(id -u "$user")" != 0 ] || fail "The user $user is root."
    install -d -o "$user" -g "$(id -g "$user")" -m 700 "$cache/databases"
}

# become WORD..: run a command as the user, instead of this shell. Nothing of
# root's environment goes along.
become() {
    exec setpriv --reuid "$user" --regid "$(id -g "$user")" \
        --clear-groups --no-new-privs -- env -i PATH="$PATH" LANG=C.UTF-8 HOME=/nonexistent \
        XDG_CACHE_HOME="${cache%/*}" "$@"
}

# A Python below the home of root is out of reach for others.
find_python() {
    python=$(command -v python3) || return 0
    if ! (become "$python" -c '') 2>/dev/null; then
        PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
        export PATH
    fi
}

python_of_all() {
    (become "$1" -c '') \
        || fail "The user $user cannot run $1. Is it below the home of root?"
    "$1" -m compileall -q "$root" || fail "$root cannot be compiled."
}

# hand_over FOLDER: give an empty folder to the user, as $keep. run.py refuses
# one that is not empty.
hand_over() {
    [ -z "$(ls -A "$1" 2>/dev/null)" ] || return 0
    new=
    [ -e "$1" ] || new=yes
    mkdir -p "$1" || fail "$1 cannot be made." 2
    keep=$(CDPATH='' cd -- "$1" && pwd)
    owner=$(stat -c %u:%g "$keep")
    chown -h "$user:" "$keep"
    if ! (become test -w "$keep"); then
        chown -h "$owner" "$keep"
        [ -z "$new" ] || rmdir "$keep"
        fail "The user $user cannot reach $keep: name one below /tmp, say." 2
    fi
}

# Copy the checkout, and set $root to the copy.
copy_checkout() {
    copy=$cache/checkout
    state=$(cd "$root" && find $parts -type f ! -name '*.pyc' -print0 \
        | LC_ALL=C sort -z | xargs -0 cksum | cksum)
    if [ "$(cat "$copy/.state" 2>/dev/null)" != "$state" ]; then
        rm -rf "$copy.new"
        mkdir "$copy.new"
        (cd "$root" && cp -R --no-preserve=all -t "$copy.new" $parts) \
            || fail "The checkout could not be copied to $copy."
        find "$copy.new" -name __pycache__ -prune -exec rm -rf {} +
        printf '%s' "$state" >"$copy.new/.state"
        rm -rf "$copy"
        mv "$copy.new" "$copy"
    fi
    root=$copy
}
