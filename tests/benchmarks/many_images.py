# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""How long the first synchronization of a million images takes, what a run
costs beside them, and what is done twice when it is killed again and again.

No Orthanc of that size fits beside the tests: support.fake_pacs stands for
it, in a process of its own.  It answers faster than an Orthanc, and the floor
asks the same fake."""
import time
from operator import itemgetter

import pytest
from support import killed_runs
from support.benchmarks import show, tell
from support.copied_servers import copy_rows
from support.fake_pacs import fakes
from support.floor import Floor, more_memory, seconds
from support.statements import counted
from support.synchronizing import (
    count_rows, new_server, synchronize, transaction)

from trytond.modules.health_imaging.tables import execute
from trytond.modules.health_orthanc.sync import run as sync_run
from trytond.modules.health_orthanc.sync.transactions import transact
from trytond.pool import Pool
from trytond.transaction import Transaction

SERIES, INSTANCES = 4, 25
EACH = SERIES * INSTANCES
#: Instances that a run stores at once.
BLOCK = 5000
RUN = 'gnuhealth.orthanc.sync_run'
#: Of how many studies: in the small form, and with the numbers of a hospital.
SIZES = {
    'test_many_images': ([60], [1000, 10_000]),
    'test_rows_that_are_there_do_not_slow_a_run': ([60], [12_500]),
    'test_killed_again_and_again': ([15], [1000, 10_000]),
    'test_wiped': ([60], [2000, 20_000]),
    }


def pytest_generate_tests(metafunc):
    sizes = SIZES[metafunc.function.__name__]
    metafunc.parametrize(
        'studies', sizes[metafunc.config.getoption('--full')])


@pytest.fixture(autouse=True)
def in_transaction(activated):
    with transaction():
        yield


def timed(server):
    "Synchronize a server; return the run and its seconds."
    runs = []
    took = seconds(lambda: runs.append(synchronize(server)))
    assert runs[0].state == 'done', runs[0].error
    return runs[0], took


def measured(server):
    """Synchronize a server; return the run, its seconds and the number of its
    statements, all of which are kept."""
    with counted() as statements:
        run, took = timed(server)
    return run, took, len(statements)


def test_many_images(full, studies):
    count, more = studies * EACH, []
    with fakes({'studies': studies, 'series': SERIES}) as (pacs,):
        server = new_server(pacs)
        with more_memory(more):
            run, first = timed(server)
        assert count_rows(server) == (studies, studies * SERIES, count)
        least = seconds(Floor(pacs).first)
        show("images synchronized the first time", count, first,
            f'{run.calls} call', least)
        run, nothing, statements = min(
            (measured(server) for _ in range(3)), key=itemgetter(1))
        show("nothing new", count, nothing,
            f'{run.calls} call {statements} SQL')
        assert run.calls == 3
        pacs.set(studies=studies + 1)
        run, new, statements = measured(server)
        show("images of a new study", EACH, new,
            f'{run.calls} call {statements} SQL')
        assert (run.instances_new, run.calls) == (EACH, 6)
    tell(f"{more[0]:.0f} MiB more memory for these")
    assert more[0] < 60
    if full:
        assert first <= 1.6 * least
        assert nothing < 0.2


@pytest.mark.postgresql
def test_rows_that_are_there_do_not_slow_a_run(full, studies):
    "What runs cost beside nothing, and beside four servers of such a size."
    series, costs = SERIES, []
    with fakes(
            {'studies': studies, 'series': series},
            {'studies': 50, 'seed': 99, 'series': series},
            {'studies': 50, 'seed': 98, 'series': series}) as pacs:
        servers = [new_server(each) for each in pacs]
        costs.append(costs_of(pacs[1], servers[1]))
        _, took = timed(servers[0])
        tell(f"{studies * EACH} images read in {took:.0f} s")
        for seed in [2, 3, 4]:
            copy_rows(servers[0], new_server(f'http://copy-{seed}'), seed)
        costs.append(costs_of(pacs[2], servers[2]))
    for number, cost in zip([0, 4 * studies * EACH], costs):
        for what, (run, took, statements) in cost.items():
            show(f"{what} beside {number} images", EACH * 50, took,
                f'{run.calls} call {statements} SQL')
    for before, after in zip(*(cost.values() for cost in costs)):
        # trytond's caches save some statements.
        assert before[0].calls == after[0].calls and after[2] <= before[2]
        if full:
            assert after[1] < 2 * before[1] + 0.1


def costs_of(pacs, server):
    "Return what the first run costs, one with a new study and one without."
    first = measured(server)
    pacs.set(studies=51)
    new = measured(server)
    return {
        "first time": first, "one new study": new,
        "nothing new": measured(server)}


@pytest.mark.postgresql
def test_killed_again_and_again(full, studies):
    """Kill the process of a first synchronization each time it has stored a
    sixth of all more, or two blocks, until one comes to its end."""
    # In the small form three studies are a block.
    size = INSTANCES if full else BLOCK // 3 // SERIES
    total, per_block = studies * SERIES * size, max(BLOCK // SERIES // size, 1)
    enough = max(studies // 6, 2 * per_block)
    with fakes({
                'studies': studies, 'series': SERIES, 'instances': size,
                }) as (pacs,):
        server, kills = new_server(pacs), 0
        begin = time.monotonic()
        while kills < 200:
            process, stored = killed_runs.start(server), done_of(server)
            while process.poll() is None:
                if done_of(server) - stored >= enough:
                    process.kill()
                time.sleep(0.05)
            if process.returncode == 0:
                break
            kills += 1
            # What the next run does once more of what this one stored
            assert done_of(server) - resumed_at(server) <= per_block
        took, given = time.monotonic() - begin, pacs.ask()['given']
    Transaction().rollback()
    runs = Pool().get(RUN).search([('server', '=', server)])
    assert {run.state for run in runs} == {'done', 'interrupted'}
    assert sum(run.instances_new for run in runs) == total
    assert count_rows(server) == (studies, studies * SERIES, total)
    show(f"images synchronized the first time, killed {kills} times", total,
        took)
    tell(f"{given - total} of them were asked for again")
    # What was under way, and what was read ahead
    assert kills >= 2 and given - total <= kills * 4 * (BLOCK + EACH)


@pytest.mark.postgresql
def test_wiped(full, studies, monkeypatch):
    """A server that lost everything but one study: all others are marked as
    missing in short transactions."""
    more, held = [], []
    with fakes({'studies': studies, 'series': 1, 'instances': 1}) as (pacs,):
        server = new_server(pacs)
        timed(server)
        pacs.set(first=studies, studies=1)
        monkeypatch.setattr(sync_run, 'transact', lambda work: taking(
                held, lambda: transact(work)))
        with more_memory(more):
            run, took = timed(server)
    assert (run.studies_gone, run.studies_new) == (studies, 1)
    show("studies marked as missing", studies, took, f'{run.calls} call')
    tell(f"{more[0]:.0f} MiB more memory for these, {max(held):.2f} s the "
        "longest transaction")
    assert more[0] < 60
    if full:
        assert max(held) < 2


def taking(kept, action):
    "Note how long an action takes, and return what it returns."
    begin = time.perf_counter()
    try:
        return action()
    finally:
        kept.append(time.perf_counter() - begin)


def done_of(server):
    "Return how many studies the last run of a server has done."
    table = Pool().get(RUN).__table__()
    return next((done or 0 for done, in rows(table.select(table.done,
                    where=table.server == server, order_by=table.id.desc,
                    limit=1))), 0)


def resumed_at(server):
    "Return how many studies the next run leaves out."
    config = Pool().get('gnuhealth.orthanc.config').__table__()
    study = Pool().get('gnuhealth.imaging_orthanc.study').__table__()
    (resume,), = rows(config.select(
            config.resume, where=config.id == server))
    last = (resume or '').partition(' ')[2]
    return sum(uid <= last for uid, in rows(study.select(
                study.orthanc_UID, where=study.orthanc_server == server)))


def rows(query):
    "Return what a query finds that other processes committed."
    Transaction().rollback()
    return execute(query)
