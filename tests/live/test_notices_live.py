# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A real Orthanc with notify.lua tells a real trytond that images came, which
reads them within seconds, also when it was away meanwhile."""
import pytest
from services import Trytond
from support.databases import SEEDED
from support.notices import Notifying


@pytest.fixture(scope='module')
def hospital(templates, copies, tmp_path_factory):
    "Without workers on SQLite, which has none."
    templates.need_seeded()
    database = copies.make(SEEDED, tmp_path_factory.mktemp('database'))
    trytond = Trytond(tmp_path_factory.mktemp('trytond'),
        workers=0 if copies.uri.startswith('sqlite') else 1,
        **database.options)
    trytond.start()
    hospital = Notifying(
        database, trytond, tmp_path_factory.mktemp('orthanc'))
    yield hospital
    hospital.orthanc.kill()
    trytond.kill()
    copies.drop(database)


def test_images_are_at_their_request_without_anybody(hospital):
    hospital.wait_for(hospital.send())
    (started_by,), *_ = hospital.query(
        'SELECT started_by FROM gnuhealth_orthanc_sync_run ORDER BY id')
    assert started_by == 'notice'


def test_what_came_while_gnu_health_was_away_is_not_lost(hospital):
    hospital.trytond.kill()
    away = hospital.send()
    hospital.trytond.start()
    hospital.wait_for(hospital.send())
    hospital.wait_for(away)


@pytest.mark.postgresql
def test_a_worker_is_killed_between_notice_and_run(hospital):
    _, worker = hospital.trytond.processes

    def waiting():
        return hospital.query('SELECT id FROM ir_queue '
            'WHERE dequeued_at IS NULL AND scheduled_at IS NULL')
    worker.kill()
    lost = hospital.send()
    while not waiting():
        pass
    # As a worker leaves it that is killed when it had just taken it up.
    hospital.query('UPDATE ir_queue SET dequeued_at = CURRENT_TIMESTAMP')
    kept = hospital.send()
    # The former task, which nobody does any more, is not taken for this one.
    while not waiting():
        pass
    worker.start()
    hospital.wait_for(kept)
    hospital.wait_for(lost)
