# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""``pytest tests/benchmarks`` runs all benchmarks with small numbers, and
fails where one cannot run or asks for more than it may.  With ``--full`` they
have the numbers of a hospital, and fail too when they are slower than they
may be.  They print one table at the end.

On PostgreSQL: ``python tests/support/postgres.py pytest tests/benchmarks``."""
import os
from pathlib import Path

import pytest
from support import benchmarks

HERE = Path(__file__).parent


def pytest_addoption(parser):
    parser.addoption('--full', action='store_true',
        help="benchmarks have the numbers of a hospital, and limits")


def pytest_collect_file(file_path, parent):
    named = [Path(name).resolve() for name in parent.config.args]
    if (HERE in named and file_path.parent == HERE
            and file_path.suffix == '.py' and file_path != Path(__file__)):
        return pytest.Module.from_parent(parent, path=file_path)


@pytest.fixture(scope='session')
def full(request):
    "Whether the numbers are those of a hospital, and time is limited."
    return request.config.getoption('--full')


def pytest_terminal_summary(terminalreporter):
    if benchmarks.LINES:
        load = ' '.join(f'{value:.1f}' for value in os.getloadavg())
        terminalreporter.section("benchmarks")
        terminalreporter.write_line(f"{os.cpu_count()} cores, load {load}")
        terminalreporter.write_line(benchmarks.title())
        for line in benchmarks.LINES:
            terminalreporter.write_line(line)
