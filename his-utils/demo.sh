#!/bin/sh
# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
# Shows the imaging suite at work, from order to report: installs what is
# missing, makes a hospital with a PACS on servers of its own, and leaves the
# web client running.
set -eu

usage() {
    cat <<END
Usage: sh his-utils/demo.sh [--busy] [--check] [--keep DIR]

Installs what is missing, then runs an imaging department from order to
report, on servers and a database of its own, and checks what it sees.
Then it leaves the web client running until Ctrl-C.

  --busy      then fill the hospital with two months of work: more than 200
              requests of all states for 64 patients, and their images
  --check     end after the story
  --keep DIR  work in a new folder and keep it

Started by root, the servers belong to the user imaging-demo, who is made for
them; a folder to keep must be one that this user can reach.

Exit status: 0 every claim is right, 1 a claim is wrong, 2 usage, 3 something
cannot be installed or started.
END
}

# Before anything is installed.
busy=
check=
keep=
previous=
for word in "$@"; do
    case $previous/$word in
    --keep/*) keep=$word word= ;;
    */-h | */--help) usage; exit 0 ;;
    */--busy) busy=yes ;;
    */--check) check=yes ;;
    */--keep=*) keep=${word#--keep=} ;;
    */--keep) ;;
    *) usage >&2; exit 2 ;;
    esac
    previous=$word
done

root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
. "$root/his-utils/setup.sh"
. "$root/his-utils/demo/unprivileged.sh"
cache=$(cache_folder)
environment=$cache/demo-environment

prepare() {
    # Two at once wait for each other.
    exec 9>"$cache/lock"
    flock 9
    # Word splitting is meant.
    # shellcheck disable=SC2046
    install_packages $(common_packages)
    if is_root; then
        copy_checkout
    fi
    make_environment "$environment" --editable "${root}[demo]"
    exec 9>&-
}

if is_root; then
    umask 022
    mkdir -p "$cache"
    make_user
    find_python
    [ -z "$keep" ] || hand_over "$keep"
    prepare
    python_of_all "$environment/bin/python"
    XDG_CACHE_HOME=${cache%/*} "$environment/bin/python" \
        "$root/his-utils/demo/run.py" --prepare
    set -- ${busy:+--busy} ${check:+--check} ${keep:+--keep "$keep"}
    cd /
    become "$environment/bin/python" "$root/his-utils/demo/run.py" "$@"
fi
mkdir -p "$cache"
prepare
exec "$environment/bin/python" "$root/his-utils/demo/run.py" "$@"
