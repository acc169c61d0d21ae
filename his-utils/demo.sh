#!/bin/sh
# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
# Shows the imaging suite at work, from order to report: installs what is
# missing, makes a hospital with a PACS on servers of its own, and leaves the
# web client running.
set -eu

usage() {
    cat <<END
Usage: sh his-utils/demo.sh [--check] [--keep DIR]

Installs what is missing, then runs an imaging department from order to
report, on servers and a database of its own, and checks what it sees.
Then it leaves the web client running until Ctrl-C.

  --check     end after the story
  --keep DIR  work in a new folder and keep it

Exit status: 0 every claim is right, 1 a claim is wrong, 2 usage, 3 something
cannot be installed or started.
END
}

# Before anything is installed.
previous=
for word in "$@"; do
    case $previous/$word in
    --keep/*) word= ;;
    */-h | */--help) usage; exit 0 ;;
    */--check | */--keep | */--keep=*) ;;
    *) usage >&2; exit 2 ;;
    esac
    previous=$word
done

root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
. "$root/his-utils/setup.sh"

# Word splitting is meant.
# shellcheck disable=SC2046
install_packages $(common_packages)
environment=$(cache_folder)/demo-environment
mkdir -p "$(cache_folder)"
make_environment "$environment" --editable "${root}[demo]"
exec "$environment/bin/python" "$root/his-utils/demo/run.py" "$@"
