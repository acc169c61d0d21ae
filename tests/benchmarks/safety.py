# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the checks of safety cost when requests are sent, told to modalities
and listed: the floor is the same without them."""
import datetime as dt
import time

import pytest
from support.benchmarks import measure, show
from support.records import (
    as_user, make_exam, make_institution, make_patient, make_professional,
    make_user)
from support.statements import columns, counted

from trytond.model import fields
from trytond.pool import Pool
from trytond.transaction import Transaction

REQUEST = 'gnuhealth.imaging.test.request'
# How many more statements the checks need for up to a thousand requests.
STATEMENTS = 40


class NoChecks:
    "What the checks find when nothing is looked up."

    def __init__(self, asked, facts=None):
        self.findings = {key: [] for key, *_ in asked}

    def refuse(self):
        pass

    def sentences(self, known=()):
        return []


@pytest.fixture
def rows(full):
    "How many requests there are."
    return 1000 if full else 100


@pytest.fixture
def drafts(transaction, rows):
    """The requests of a CT with contrast, one for each patient: of one in ten
    something is found."""
    make_institution()
    exam, doctor = make_exam(
        aetitle='CT1', contrast='iodinated', unchecked_rules=['kidney'],
        ), make_professional()
    people = [
        make_patient(f"Given {i}", f"Family {i}", gender='m',
            dob=dt.date(1956, 1, 1)) for i in range(rows)]
    for patient in people[::10]:
        patient.critical_info = "Urticaria after Iohexol"
    Pool().get('gnuhealth.patient').save(people[::10])
    return Pool().get(REQUEST).create([{
                'patient': p.id, 'requested_test': exam.id,
                'doctor': doctor.id} for p in people])


def best(action):
    "Return the least seconds of an action, and its statements."
    def once():
        for cache in Transaction().cache.values():
            cache.clear()
        with counted() as statements:
            action()
        return len(statements)
    return measure(once, 3, time.process_time)


def compare(what, rows, action, monkeypatch, most, full):
    """Show how long something takes with the checks and without.

    :param float most: how many times as long it may take
    """
    from trytond.modules.health_imaging import safety_finding
    with monkeypatch.context() as patch:
        patch.setattr(safety_finding, 'Checks', NoChecks)
        floor, few = best(action)
    seconds, count = best(action)
    show(f"{what}, without checks", rows, floor, f'{few} SQL')
    show(f"{what}, with checks", rows, seconds, f'{count} SQL', floor)
    # A few more for each block of records.
    assert count <= few + STATEMENTS + rows // 50
    assert not full or seconds <= floor * most


def test_sending(drafts, rows, monkeypatch, full):
    Request = Pool().get(REQUEST)

    def send():
        with Transaction().set_context(_skip_warnings=True):
            Request.requested(Request.browse(drafts))
        Request.cancel_for(Request.browse(drafts), "Again")
        Request.draft(Request.browse(drafts))
    compare("requests sent", rows, send, monkeypatch, 1.1, full)


def test_worklist(drafts, rows, monkeypatch, full):
    Request = Pool().get(REQUEST)
    with Transaction().set_context(_skip_warnings=True):
        Request.requested(drafts)
    compare("worklist, all", rows,
        lambda: Request.get_worklist_entries(), monkeypatch, 1.1, full)
    answer = Request.get_worklist_entries()
    compare("worklist, what changed", rows,
        lambda: Request.get_worklist_entries(answer['cursor']), monkeypatch,
        1.1, full)


def test_lists(drafts, rows, full):
    Request = Pool().get(REQUEST)
    with Transaction().set_context(_skip_warnings=True):
        Request.requested(drafts)
    names = columns(REQUEST, 'tree')
    ids = [r.id for r in drafts]
    assert isinstance(Request.safety, fields.Function)
    with as_user(make_user(
            'radiographer', 'health_imaging.group_health_imaging')):
        floor, few = best(lambda: Request.read(ids, names))
        seconds, count = best(lambda: Request.read(ids, [*names, 'safety']))
    show("list of requests", rows, floor, f'{few} SQL')
    show("list of requests, with what was found", rows, seconds,
        f'{count} SQL', floor)
    # A few more for each block of records.
    assert count <= few + STATEMENTS + rows // 50
