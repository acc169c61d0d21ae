#!/bin/sh
# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
# Runs all tests: style, SQLite, PostgreSQL in a cluster of its own that is
# thrown away, beside it the soak of five minutes, packaging, small benchmarks.
# What is missing is installed first.
#
#   sh his-utils/test.sh                        everything
#   sh his-utils/test.sh -e sqlite              one environment of tox.ini
#   sh his-utils/test.sh -e sqlite -- -k order  with arguments for pytest
#   sh his-utils/test.sh -e benchmarks          with -- --full: full numbers
#   sh his-utils/test.sh -e compare             benchmarks before and after
#   sh his-utils/test.sh -e web                 the web client in Chromium
#   sh his-utils/test.sh -e desktop             the desktop client
#   sh his-utils/test.sh -e orthancs            with newer Orthancs
#   sh his-utils/test.sh -e upgrades            from 4.4.1, former, on SQLite
#   sh his-utils/test.sh -e soak                the soak alone; SOAK_MINUTES=60
#   sh his-utils/test.sh -e pictures            the documents' pictures anew
#   sh his-utils/test.sh --quick                what needs no server: 3 minutes
set -eu

root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
. "$root/his-utils/setup.sh"

if [ "${1:-}" = --quick ]; then
    shift
    quick=yes
    for program in cc pg_config; do
        command -v "$program" >/dev/null || fail "GNU Health asks for psycopg2, \
which pip builds. Install gcc, libc6-dev, libpq-dev and python3-dev first."
    done
    set -- -e quick "$@"
fi

# The Orthancs of newer Debians, each in a folder of its own that is kept, and
# run with the libraries in it. Sid can be older than its list may be.
unpack_orthancs() {
    ORTHANCS=$(cache_folder)/orthancs
    export ORTHANCS
    mkdir -p "$ORTHANCS"
    for suite in trixie sid; do
        [ -e "$ORTHANCS/$suite" ] && continue
        say "Unpacking the Orthanc of Debian $suite"
        as_root rm -rf "$ORTHANCS/$suite.new"
        as_root mmdebstrap --quiet --variant=extract \
            --aptopt='Acquire::Check-Valid-Until "false"' \
            --include=orthanc,orthanc-dicomweb,orthanc-gdcm \
            --include=orthanc-postgresql,orthanc-python \
            "$suite" "$ORTHANCS/$suite.new" "$(debian_mirror)" \
            || fail "The Orthanc of Debian $suite could not be unpacked."
        as_root mv "$ORTHANCS/$suite.new" "$ORTHANCS/$suite"
    done
}

# Where this computer gets its own packages from.
debian_mirror() {
    as_root apt-get update >/dev/null
    # shellcheck disable=SC2016
    apt-get indextargets --format '$(REPO_URI)' \
        'Origin: Debian' 'Label: Debian' | head -n 1
}

# What the environments need that are not run unless they are named.
of_clients=
for word in "$@"; do
    case ,$word, in
    *,web,* | *,pictures,*) of_clients="$of_clients chromium" ;;
    *,desktop,*) of_clients="$of_clients xvfb xauth python3-gi \
python3-gi-cairo gir1.2-gtk-3.0 gir1.2-goocanvas-2.0 gir1.2-evince-3.0 \
librsvg2-common adwaita-icon-theme" ;;
    *,orthancs,*) of_clients="$of_clients mmdebstrap" newer=yes ;;
    esac
done

# Word splitting is meant.
# shellcheck disable=SC2046,SC2086
[ -n "${quick:-}" ] || install_packages $(common_packages) postgresql-15 git \
    faketime openssl dicom3tools ctn $of_clients
[ -z "${newer:-}" ] || unpack_orthancs
mkdir -p "$root/.tox"
make_environment "$root/.tox/runner" 'tox>=4,<5'
cd "$root"
exec .tox/runner/bin/tox run "$@"
