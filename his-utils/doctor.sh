#!/bin/sh
# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
# Shows before the upgrade of a database what will happen to it, and compares
# afterwards. It only reads. Run it with -h for a manual.
#
#   sh his-utils/doctor.sh -c /etc/trytond.conf -d health before
#   sh his-utils/doctor.sh -c /etc/trytond.conf -d health after
#
# PYTHON names the interpreter of the environment in which trytond runs, by
# default the one that is active.
set -eu

root=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
exec "${PYTHON:-python3}" "$root/scripts/upgrade_utils/doctor.py" "$@"
