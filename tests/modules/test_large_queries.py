# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Indexes serve what is asked of the large tables: lists and forms as clients
open them, decisions on studies, and corrections of people."""
import datetime as dt

import pytest
from support.large import Large
from support.plans import unserved
from support.records import make_institution, merge, settle
from support.screens import open_form, open_list, opened, windows
from support.statements import counted
from support.synchronizing import transaction as new_transaction

from trytond.model import ModelSQL
from trytond.modules.health_imaging.professional import own_health_professional
from trytond.modules.health_orthanc import blocks, protection
from trytond.modules.health_orthanc.links import deciding
from trytond.pool import Pool
from trytond.tests.test_tryton import DB_NAME
from trytond.transaction import Transaction

pytestmark = pytest.mark.postgresql
#: Most statements of a list.
MOST = 30
PEOPLE = [
    'doctor', 'radiographer', 'radiologist', 'head', 'user of all roles']
#: Models of which a hospital has hundreds of thousands of records.
LARGE = [
    'party.party', 'gnuhealth.patient',
    'gnuhealth.imaging.test.request', 'gnuhealth.imaging.test.result',
    'gnuhealth.imaging_orthanc.study',
    'gnuhealth.imaging_orthanc.study_series',
    'gnuhealth.imaging_orthanc.series_instances',
    'gnuhealth.orthanc.patient', 'gnuhealth.orthanc.access_log',
    'gnuhealth.orthanc.link_log', 'gnuhealth.orthanc.report',
    'gnuhealth.imaging.safety.finding',
    'gnuhealth.imaging.test.request.reschedule.log',
    'gnuhealth.imaging.test.result.sign_check', 'ir.attachment',
    'gnuhealth.imaging_worklist.performed_step',
    'gnuhealth.imaging_worklist.performed_step-request']


@pytest.fixture(scope='module')
def large(activated):
    "A small hospital of the form of a large one."
    with new_transaction():
        company = make_institution()
        with Transaction().set_context(company=company.id):
            hospital = Large(300, 3000)
        hospital.company = company.id
        return hospital


@pytest.fixture(autouse=True)
def many(monkeypatch):
    "Let clients believe that all tables are large: they count up to a limit."
    monkeypatch.setattr(
        ModelSQL, 'estimated_count', classmethod(lambda cls: 10 ** 6))


def whole(work):
    "Do some work; return what of large tables no index served."
    with counted() as statements:
        work()
    tables = {Pool().get(model)._table for model in LARGE}
    return [
        f'{nodes}\n{text}\n{text.params}'
        for text, nodes in unserved(statements, tables)]


def open_screen(model, window):
    "Open a list at each of its tabs, then the form of its first record."
    Model, ids = Pool().get(model), []
    for tab in range(len(window.tabs)):
        ids = open_list(Model, window, {
                'active_id': 1, 'active_ids': [1], 'groups': [],
                '_user': Transaction().user}, tab) or ids
    for id_ in ids[:1]:
        open_form(Model, id_)


@pytest.mark.parametrize('person', PEOPLE)
def test_screens(large, person):
    user = large.people[person].id
    found = {}
    for model, some in windows(user).items():
        for window in some:
            with Transaction().start(DB_NAME, user, readonly=True,
                    context={'_check_access': True, 'company': large.company}):
                problems = whole(lambda: open_screen(model, window))
            if problems:
                found[f'{model}: {window.name}'] = problems
    assert not found, '\n\n'.join(
        f'{name}\n' + '\n'.join(some) for name, some in found.items())


@pytest.mark.parametrize('person', PEOPLE)
def test_lists_and_numbers_of_their_tabs_take_few_statements(large, person):
    user = large.people[person].id
    slow = {}
    for model, some in windows(user).items():
        for window in some if model in LARGE else ():
            for number, (tab, _, _) in enumerate(window.tabs):
                _, _, statements = opened(user, lambda: open_list(
                        Pool().get(model), window, {
                            'active_id': 1, 'active_ids': [1], 'groups': [],
                            '_user': user}, number),
                    times=2, company=large.company)
                if statements > MOST:
                    slow[f'{model}: {window.name} {tab}'] = statements
    assert not slow


@pytest.mark.parametrize('model, most', [
        ('gnuhealth.imaging.test.request', 32),
        ('gnuhealth.imaging.test.result', 48),
        ('gnuhealth.imaging.statistics.turnaround', 5)])
def test_forms_take_few_statements(large, model, most):
    window, *_ = windows()[model]
    Model, slow = Pool(DB_NAME).get(model), {}
    for number, (tab, _, _) in enumerate(window.tabs):
        ids, _, _ = opened(large.user.id, lambda: open_list(
                Model, window, {'_user': large.user.id}, number),
            times=1, company=large.company)
        for id_ in ids[:3]:
            _, _, statements = opened(large.user.id, lambda: open_form(
                    Model, id_), times=2, company=large.company)
            if statements > most:
                slow[tab, id_] = statements
    assert not slow


def test_what_is_asked_once_follows_what_is_written(large):
    with new_transaction(company=large.company) as transaction:
        with transaction.set_user(large.user.id):
            own = own_health_professional()
            assert own == large.doctors[0].id
        Professional = Pool().get('gnuhealth.healthprofessional')
        Professional.write([Professional(own)], {'active': False})
        with transaction.set_user(large.user.id):
            assert not own_health_professional()
        transaction.rollback()
        with transaction.set_user(large.user.id):
            assert own_health_professional() == own


def test_texts_are_looked_up_as_they_are(activated):
    texts = ['a"b', 'c\\d', '{e,f}', 'g h', "i'j", 'NULL', '%s', '\u6771']
    with new_transaction() as transaction:
        Party = Pool().get('party.party')
        # GNU Health makes several at once several times.
        parties = [Party.create([{'name': text}])[0] for text in texts]
        table = Party.__table__()
        assert dict(blocks.rows(
                table, [table.name, table.id], table.name, texts)) == {
            text: party.id for text, party in zip(texts, parties)}
        transaction.rollback()


def test_links(large):
    study = large.study.id
    with new_transaction(company=large.company):
        assert not whole(lambda: deciding.link_studies(
                set(range(study + 100, study + 120))))
        patient, other = Pool().get('gnuhealth.patient').browse(
            [large.patient.id + 7, large.patient.id + 8])
        Party = Pool().get('party.party')
        assert not whole(lambda: (
                Party.write([patient.party], {'dob': dt.date(1950, 2, 3)}),
                settle()))
        assert not whole(lambda: (
                merge(patient.party, other.party), settle()))
        Transaction().rollback()


def test_late_reports_are_found_by_an_index(large):
    with new_transaction(company=large.company):
        pool = Pool()
        Server = pool.get('gnuhealth.orthanc.config')
        Report = pool.get('gnuhealth.orthanc.report')
        server, = Server.search([])
        server.store_reports_since = dt.datetime(2000, 1, 1)
        assert not whole(lambda: Report._late_results(server, False))
        assert whole(lambda: Report._late_results(server, True))


def test_what_follows_a_run_looks_through_no_list_for_each_row(large):
    """PostgreSQL does where a list of ids, which is not all that a statement
    asks for, does not fit into its memory: 300 000 patients took hours."""
    with new_transaction(company=large.company):
        pool = Pool()
        Server = pool.get('gnuhealth.orthanc.config')
        server, = Server.search([])
        Server.write([server], {
                'protect_linked': True, 'store_reports': True,
                'store_reports_since': dt.datetime(2000, 1, 1)})
        cursor = Transaction().connection.cursor()
        cursor.execute("SET LOCAL work_mem = '64kB'")
        with counted() as statements:
            for again in [False, True]:
                assert protection.patients(server, again)
            assert server._protection()
            pool.get('gnuhealth.orthanc.report')._late_results(server, True)
        plans = []
        for statement in statements:
            cursor.execute(f'EXPLAIN {statement}', statement.params)
            plans.append('\n'.join(line for line, in cursor.fetchall()))
        Transaction().rollback()
    assert len(plans) >= 4
    assert not [plan for plan in plans if 'SubPlan' in plan]
