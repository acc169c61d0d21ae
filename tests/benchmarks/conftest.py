# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""``pytest tests/benchmarks`` runs all benchmarks with small numbers, and
fails where one cannot run or asks for more than it may.  With ``--full`` they
have the numbers of a hospital, and fail too when they are slower than they
may be.  They print one table at the end.

On PostgreSQL: ``python tests/support/postgres.py pytest tests/benchmarks``.
``tests/support/compare.py`` runs them before and after."""
import os
import re
from pathlib import Path

import pytest
from support import benchmarks, former

HERE = Path(__file__).parent


def pytest_addoption(parser):
    parser.addoption('--full', action='store_true',
        help="benchmarks have the numbers of a hospital, and limits")
    parser.addoption('--share', type=float, default=0, metavar='SHARE',
        help="that share of those numbers where a benchmark can have it")
    parser.addoption('--lines', type=Path,
        help="file for what the benchmarks tell, a JSON object a line")
    parser.addoption('--former', action='store_true',
        help="the modules are those of a former state")


def pytest_configure(config):
    benchmarks.FILE = config.getoption('--lines')
    if config.getoption('--former'):
        former.adapt()


def pytest_collect_file(file_path, parent):
    named = [Path(name).resolve() for name in parent.config.args]
    if (HERE in named and file_path.parent == HERE
            and file_path.suffix == '.py' and file_path != Path(__file__)):
        # By its name it is no test, of which pytest tells what it asserted.
        pytest.register_assert_rewrite(file_path.stem)
        return pytest.Module.from_parent(parent, path=file_path)


@pytest.fixture(scope='session')
def full(request):
    """The share of the numbers of a hospital, 0 for small ones; what cannot
    have a share has all of them. Otherwise time is limited."""
    return float(
        request.config.getoption('--full')
        or request.config.getoption('--share'))


def pytest_sessionfinish(session):
    output = getattr(session.config, 'workeroutput', None)
    if output is not None:
        output['lines'] = benchmarks.LINES


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node, error):
    """Several processes tell what they found when they end."""
    benchmarks.LINES += getattr(node, 'workeroutput', {}).get('lines', [])


def pytest_collectreport(report):
    if report.failed:
        benchmarks.fail(report.nodeid, reason(report))


def pytest_runtest_logreport(report):
    if report.failed:
        benchmarks.fail(report.nodeid, reason(report))


def reason(report):
    "Return the first line of the error that a report ends with."
    lines = [
        line[1:].strip() for line in str(report.longrepr).splitlines()
        if line.startswith('E ')]
    return next(
        (line for line in lines if re.match(r'[\w.]+(Error|Exception)', line)),
        lines[0] if lines else '?')


def pytest_terminal_summary(terminalreporter):
    if benchmarks.LINES:
        load = ' '.join(f'{value:.1f}' for value in os.getloadavg())
        terminalreporter.section("benchmarks")
        terminalreporter.write_line(f"{os.cpu_count()} cores, load {load}")
        for line in benchmarks.table():
            terminalreporter.write_line(line)
