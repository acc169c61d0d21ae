#!/bin/sh
# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
# Runs all tests: style, SQLite, PostgreSQL in a cluster of its own that is
# thrown away, packaging. What is missing is installed first.
#
#   sh his-utils/test.sh                        everything
#   sh his-utils/test.sh -e sqlite              one environment of tox.ini
#   sh his-utils/test.sh -e sqlite -- -k order  with arguments for pytest
set -eu

root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
. "$root/his-utils/setup.sh"

# Word splitting is meant.
# shellcheck disable=SC2046
install_packages $(common_packages) postgresql-15 git
mkdir -p "$root/.tox"
make_environment "$root/.tox/runner" 'tox>=4,<5'
cd "$root"
exec .tox/runner/bin/tox run "$@"
