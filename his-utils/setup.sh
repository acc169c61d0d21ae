# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
# What demo.sh and test.sh have in common: Debian packages and virtual
# environments. Read by them, not run. They set $root, the checkout.
# shellcheck shell=sh disable=SC2086,SC2154

say() {
    printf '%s\n' "$*"
}

fail() {
    printf '%s: %s\n' "$(basename "$0")" "$1" >&2
    exit "${2:-3}"
}

as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo "$@"
    else
        fail "Run this as root or install sudo, it has to install packages."
    fi
}

missing_packages() {
    for package in "$@"; do
        dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null \
            | grep -qx installed || printf '%s ' "$package"
    done
}

# Install the Debian packages that are missing. A service that one of them
# brings is not started, and not at the next start of the machine either; a
# service that was there before is left alone.
install_packages() {
    missing=$(missing_packages "$@")
    [ -n "$missing" ] || return 0
    command -v apt-get >/dev/null \
        || fail "This is no Debian, install yourself: $missing"
    say "Installing Debian packages: $missing"
    log=$(mktemp)
    policy=/usr/sbin/policy-rc.d
    trap 'allow_services; rm -f "$log"' EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM HUP
    forbid_services
    if ! install_now $missing >"$log" 2>&1; then
        tail -n 20 "$log" >&2
        fail "The Debian packages could not be installed."
    fi
    disable_services $missing
    allow_services
    rm -f "$log"
    trap - EXIT INT TERM HUP
}

install_now() {
    as_root apt-get update \
        && as_root env DEBIAN_FRONTEND=noninteractive apt-get install \
            --yes --no-install-recommends "$@"
}

forbid_services() {
    forbidden=
    [ -e "$policy" ] && return 0
    forbidden=yes
    printf '#!/bin/sh\nexit 101\n' | as_root tee "$policy" >/dev/null
    as_root chmod 755 "$policy"
}

allow_services() {
    [ -z "$forbidden" ] || as_root rm -f "$policy"
    forbidden=
}

disable_services() {
    command -v systemctl >/dev/null || return 0
    for package in "$@"; do
        case $package in
        orthanc) service=orthanc ;;
        nginx-light) service=nginx ;;
        postgresql-*) service=postgresql ;;
        *) continue ;;
        esac
        as_root systemctl disable --quiet "$service" 2>/dev/null || continue
        say "The service $service came with a package, it stays disabled."
    done
}

# Orthanc with its DICOMweb plugin. An Orthanc that is there already would get
# the plugin too at its next start, so then nothing is installed.
orthanc_packages() {
    [ -z "$(missing_packages orthanc)" ] || printf 'orthanc orthanc-dicomweb '
}

# What both commands need. GNU Health asks for psycopg2, which pip builds from
# its sources.
common_packages() {
    orthanc_packages
    printf '%s ' dcmtk libreoffice-writer-nogui libreoffice-core-nogui \
        poppler-utils fonts-dejavu-core fonts-noto-core fonts-noto-cjk \
        gcc libc6-dev libpq-dev python3-dev
    [ -x /usr/sbin/nginx ] || printf 'nginx-light '
    command -v npm >/dev/null || printf 'npm '
    command -v python3 >/dev/null || printf 'python3 '
    python3 -c 'import ensurepip, venv' 2>/dev/null || printf 'python3-venv '
}

# What is kept for later runs. That of root can be read by others, who get
# what root has no need to run.
cache_folder() {
    if [ "$(id -u)" = 0 ]; then
        printf '%s' /var/cache/gnuhealth-imaging-suite
    else
        printf '%s' "${XDG_CACHE_HOME:-$HOME/.cache}/gnuhealth-imaging-suite"
    fi
}

# make_environment FOLDER WORD..: a virtual environment in which pip installed
# these words. It is made again when the words, the checkout or what the
# checkout asks for change.
make_environment() {
    folder=$1
    shift
    state=$(printf '%s\n' "$root" "$@" \
        | cat - "$root/setup.cfg" "$root/pyproject.toml" | cksum)
    if [ "$(cat "$folder/.state" 2>/dev/null)" = "$state" ] \
            && "$folder/bin/python" -c '' 2>/dev/null; then
        return 0
    fi
    say "Making the virtual environment $folder"
    rm -f "$folder/.state"
    "$folder/bin/python" -c '' 2>/dev/null \
        || python3 -m venv --clear "$folder" \
        || fail "The virtual environment could not be made."
    "$folder/bin/python" -m pip install --quiet \
        --disable-pip-version-check "$@" \
        || fail "The Python packages could not be installed."
    printf '%s' "$state" >"$folder/.state"
}
