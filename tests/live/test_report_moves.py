# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reports whose study is given to somebody else, or back, at the very moment
at which another process stores them; on a real PACS."""
from concurrent.futures import ThreadPoolExecutor

import pytest
from support.images import STUDY, Hospital, ct_series

from trytond.modules.health_orthanc.encapsulated_report import (
    ReportedStudy, StoredReport)
from trytond.pool import Pool
from trytond.transaction import check_access

REPORT = 'gnuhealth.orthanc.report'


@pytest.fixture(scope='module')
def hospital(activated, tmp_path_factory):
    hospital = Hospital(tmp_path_factory.mktemp('orthanc'))
    hospital.write_server(store_reports=True)
    yield hospital
    hospital.close()


@pytest.fixture
def link(hospital):
    "A study and its result, whose report waits for the PACS."
    study = hospital.store(*ct_series(1))
    result = hospital.link(study)
    with hospital.faults.refusing():
        hospital.sign(result)
    assert state(hospital, study) == 'waiting'
    return study, result


def state(hospital, study):
    id_, = hospital.ids(REPORT, [('study', '=', study)])
    return hospital.read(REPORT, id_, 'state')['state']


def give(hospital, study, result):
    "Give a study to a result, or to none, in another process."
    def write():
        with hospital.transaction('radiologist'), check_access():
            Study = Pool().get(STUDY)
            Study.write([Study(study)], {'imaging_test': result})
    with ThreadPoolExecutor(1) as thread:
        thread.submit(write).result()


def test_a_study_that_comes_back_while_it_is_looked_at_gets_its_report(
        hospital, link, monkeypatch):
    study, result = link
    give(hospital, study, None)
    look, answers = ReportedStudy.takes_report_of, []

    def take(self, *args):
        answers.append(look(self, *args))
        if len(answers) == 1:
            give(hospital, study, result)
        return answers[-1]
    monkeypatch.setattr(ReportedStudy, 'takes_report_of', take)
    hospital.sync()
    monkeypatch.undo()
    assert answers[0] is False
    hospital.sync()
    assert state(hospital, study) == 'stored'


def test_a_study_that_leaves_while_its_report_is_stored_is_told(
        hospital, link, monkeypatch):
    study, result = link
    store = StoredReport._store

    def leave(self, client):
        stored = store(self, client)
        give(hospital, study, None)
        return stored
    monkeypatch.setattr(StoredReport, '_store', leave)
    hospital.sync()
    monkeypatch.undo()
    assert state(hospital, study) == 'misplaced'
    give(hospital, study, result)
    assert state(hospital, study) == 'stored'
