# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""How long synchronisation takes, as a ratio to the floor: the same data read
with one session of requests, and inserted into bare tables or compared with
them.

The largest archive takes Orthanc minutes to receive.  Archives are kept for
the next time in the folder that ORTHANC_ARCHIVES names, when it names one.
"""
import os
from contextlib import contextmanager
from pathlib import Path

import pytest
from services import Orthanc
from support import archive
from support.benchmarks import show, tell
from support.floor import Floor, best, more_memory, seconds
from support.statements import counted
from support.synchronizing import (
    count_rows, new_server, synchronize, transaction)

SERIES, INSTANCES = 3, 25


@pytest.fixture(autouse=True)
def in_transaction(activated):
    with transaction():
        yield


@pytest.fixture
def orthanc_with(tmp_path):
    """Return a context manager that gives an Orthanc with a number of
    studies."""
    @contextmanager
    def run(number):
        folder = Path(os.environ.get('ORTHANC_ARCHIVES', tmp_path))
        folder = folder / f'studies-{number}'
        complete = folder / 'complete'
        with Orthanc(folder) as orthanc:
            if not complete.exists():
                archive.upload(orthanc, map(archive.study, range(number)))
                complete.touch()
            yield orthanc
    return run


def test_synchronization(orthanc_with, full):
    number = int(2000 * full) or 20
    with orthanc_with(number) as orthanc:
        measure(orthanc, number, number * SERIES * INSTANCES, full)


def measure(orthanc, number, count, full):
    # The same archive under two names, for the better of two first times.
    servers = [
        new_server(orthanc.url.replace('127.0.0.1', host))
        for host in ['127.0.0.1', 'localhost']]
    floor, firsts, floors, more, runs = Floor(orthanc), [], [], [], []
    for server in servers:
        with more_memory(more):
            firsts.append(seconds(
                    lambda: runs.append(synchronize(server))))
        assert count_rows(server) == (number, number * SERIES, count)
        floors.append(seconds(floor.first))
    first, first_floor = min(firsts), min(floors)
    second, second_floor = best(
        lambda: runs.append(synchronize(server, full=True)), floor.second)
    with counted() as statements:
        nothing = seconds(lambda: synchronize(server))
    show("images synchronized the first time", count, first,
        f'{runs[0].calls} call', first_floor)
    show("all compared", count, second, f'{runs[-1].calls} call',
        second_floor)
    show("nothing new", count, nothing, f'{len(statements)} SQL')
    tell(f"{max(more):.0f} MiB more memory for these")
    if full:
        assert first <= 2.2 * first_floor
        assert second <= 2 * second_floor
    assert max(more) < 150


def test_one_long_series(orthanc, full):
    size = int(20_000 * full) or 1000
    archive.upload(orthanc, [archive.study(1, series=1, instances=size)])
    server, floor = new_server(orthanc), Floor(orthanc)
    more, runs = [], []
    with more_memory(more):
        first = seconds(lambda: runs.append(synchronize(server)))
        second = seconds(lambda: runs.append(synchronize(server, full=True)))
    assert count_rows(server) == (1, 1, size)
    least = seconds(floor.first)
    show("images of one series the first time", size, first,
        f'{runs[0].calls} call', least)
    show("all compared", size, second, f'{runs[1].calls} call',
        seconds(floor.second))
    tell(f"{more[0]:.0f} MiB more memory for these")
    assert more[0] < 150
