# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""How long it takes from the last image of a study, in a real Orthanc with
notify.lua, until the whole study is at its request: with a trytond-worker on
PostgreSQL, with trytond alone on SQLite."""
import os
import statistics
import time

import pytest
from services import Trytond, request
from support.benchmarks import show
from support.databases import SEEDED
from support.notices import Notifying

WORKERS = 1 if os.environ.get('POSTGRESQL_URI') else 0
#: Orthanc's own, but where GNU Health looks once for each notice only.
STABLE_AGE = 60 if WORKERS else 2
LIMIT = 5


@pytest.mark.parametrize('images, pause, what', [
        (2, 0, "two images"),
        (100, 0, "a series"),
        (12, 1.5, "an image each 1.5 s"),
        (5, 7, "an image each 7 s")])
def test_from_image_to_request(hospital, full, images, pause, what):
    times = (3 if pause else 9) if full else 1
    if pause and not full:
        images, pause = 2, .2
    seconds = []
    for _ in range(times):
        request = hospital.send(pause=pause, instances=images)
        seconds.append(hospital.wait_for(request, images, 120))
    show(f"linked after the last of {what}, median of {times}, longest "
        f"{max(seconds):.1f} s", images, statistics.median(seconds))
    assert not full or statistics.median(seconds) < LIMIT


@pytest.mark.parametrize('valid, what', [
        (True, "accepted"), (False, "refused")])
def test_answer(hospital, full, valid, what):
    "An Orthanc waits for it."
    secret = hospital.secret if valid else hospital.secret[::-1]
    seconds = []
    for _ in range(40):
        begin = time.perf_counter()
        answer = request('POST', hospital.address, data='{}',
            headers={'Authorization': f'Bearer {secret}'})
        seconds.append(time.perf_counter() - begin)
        assert answer.ok == valid
    show(f"notice {what}, median of 40, longest {max(seconds):.3f} s", 1,
        statistics.median(seconds))


@pytest.fixture(scope='module')
def hospital(templates, copies, tmp_path_factory):
    templates.need_seeded()
    database = copies.make(SEEDED, tmp_path_factory.mktemp('database'))
    with Trytond(tmp_path_factory.mktemp('trytond'), workers=WORKERS,
            **database.options) as trytond:
        hospital = Notifying(database, trytond,
            tmp_path_factory.mktemp('orthanc'), StableAge=STABLE_AGE)
        yield hospital
        hospital.orthanc.kill()
    copies.drop(database)
