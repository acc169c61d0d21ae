# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Names that a machine cannot show as they are, and entries that fail: no
sign takes a patient off the machine, and no entry the others."""
import datetime as dt
import logging
from io import BytesIO

import pytest
from pydicom import dcmread
from support.hospitals import with_company
from support.records import (
    as_asked, as_user, make_exam, make_patient, make_professional,
    make_request, make_user, run_wizard)

from trytond.modules.health_imaging.tables import execute
from trytond.modules.health_imaging_worklist.exceptions import (
    CharsetError, RomanizedNameWarning)
from trytond.pool import Pool
from trytond.transaction import Transaction, without_check_access

hospital = with_company

REQUEST = 'gnuhealth.imaging.test.request'
TEMPLATE = 'gnuhealth.imaging_worklist.worklist_template'


@pytest.fixture
def doctor(hospital):
    user = make_user('doctor', 'health.group_health_doctor')
    make_professional(user)
    return user


def make_machine(charset, name="Head CT", **values):
    "Return an exam whose template has a character set."
    exam = make_exam(name, aetitle='CT1', **values)
    template, = exam.imaging_worklist_template.copy(
        [exam.imaging_worklist_template], {'charset': charset})
    exam.imaging_worklist_template = template
    exam.save()
    return exam


def entries():
    return {e['id']: e for e in Pool().get(REQUEST).get_worklist_entries()[
            'entries']}


def dataset(entry):
    assert entry['error'] is None
    return dcmread(BytesIO(entry['dicom']))


@without_check_access
def skip(warning):
    "Go on after a warning, as the client does."
    Pool().get('res.user.warning').skip(warning.name)


@pytest.mark.parametrize('family, given, charset, told', [
        ("O’Brien", "Seán", 'ISO_IR 100', "O'Brien^Seán"),
        ("García–Núñez", "Œ", 'ISO_IR 100', "García-Núñez^OE"),
        ("Țepeș", "Ștefan", 'ISO_IR 101', "Ţepeş^Ştefan"),
        ("Țepeș", "Ștefan", 'ISO_IR 100', "Tepes^Stefan"),
        ("Müller", "José", '', "Muller^Jose"),
        ("O’Brien", "Seán", 'ISO_IR 192', "O’Brien^Seán"),
        ])
def test_a_sign_takes_no_patient_off_the_machine(
        doctor, family, given, charset, told):
    Request = Pool().get(REQUEST)
    request = make_request(
        make_patient(given, family, ref='P1'), make_machine(charset))
    with as_user(doctor):
        Request.requested([request])
        entry = entries()[request.id]
        values, = Request.read([request.id], ['worklist_note'])
    assert str(dataset(entry).PatientName) == told
    assert f'[{told}]' in entry['text']
    assert not values['worklist_note']


def test_a_sign_in_the_name_of_an_exam(doctor):
    exam = make_machine('ISO_IR 100', "Thorax – d’abord ［a］ ½")
    request = make_request(exam=exam)
    with as_user(doctor):
        type(request).requested([request])
        told = dataset(entries()[request.id])
    assert told.RequestedProcedureDescription == "Thorax - d'abord [a] ½"


def test_other_scripts_are_romanized_with_a_warning(doctor):
    Request = Pool().get(REQUEST)
    request = make_request(
        make_patient("丽华", "陈", ref='P1'), make_machine('ISO_IR 100'))
    with as_asked(doctor):
        with pytest.raises(RomanizedNameWarning) as warned:
            Request.requested([request])
        for word in ["Chen^LiHua", "ISO_IR 100", "陈, 丽华"]:
            assert word in warned.value.message
        assert Request(request.id).state == 'draft'
        skip(warned.value)
        Request.requested([request])
        values, = Request.read([request.id], ['worklist_note', 'state'])
        told = dataset(entries()[request.id])
    assert values['state'] == 'requested'
    assert values['worklist_note'] == warned.value.message
    assert str(told.PatientName) == "Chen^LiHua"
    assert told.PatientID == 'P1' and told.PatientBirthDate == '19851004'


def test_the_wizard_warns_once(doctor):
    patient, exam = make_patient("丽华", "陈"), make_machine('ISO_IR 100')
    start = {
        'patient': patient.id, 'date': dt.datetime(2026, 3, 2, 15),
        'doctor': make_professional().id,
        'urgent': False, 'tests': [exam.id]}

    def run():
        run_wizard('gnuhealth.patient.imaging.test.request', [
                ('order_and_request', {'start': start})])
    with as_asked(doctor):
        with pytest.raises(RomanizedNameWarning) as warned:
            run()
        # The client tries again, and new requests are made.
        skip(warned.value)
        run()


def test_no_warning_where_a_person_wrote_the_name_in_latin(doctor):
    patient = make_patient("太郎", "山田")
    Pool().get('gnuhealth.person_name').create([{
                'party': patient.party.id, 'use': 'usual',
                'family': "Yamada", 'given': "Tarō"}])
    request = make_request(patient, make_machine('ISO_IR 100'))
    with as_asked(doctor):
        type(request).requested([request])
        told = dataset(entries()[request.id])
    assert str(told.PatientName) == "Yamada^Taro"


def test_any_right_character_set(hospital):
    admin = make_user('admin 2', 'health_imaging.group_health_imaging_admin')
    template = make_exam().imaging_worklist_template
    Template = type(template)
    with as_user(admin):
        for charset in [
                'ISO 2022 IR 6\\ISO 2022 IR 87', '\\ISO 2022 IR 87',
                'ISO 2022 IR 100\\ISO 2022 IR 144', '', 'ISO_IR 192']:
            Template.write([template], {'charset': charset})
        for charset in ['cp1252', 'ISO 2022 IR 87\\ISO 2022 IR 6', 'ISO_IR 6']:
            with pytest.raises(CharsetError):
                Template.write([template], {'charset': charset})
    template = Template(template.id)
    template.charset = 'ISO 2022 IR 6\\ISO 2022 IR 87'
    template.save()
    request = make_request(make_patient("太郎", "山田"))
    type(request).requested([request])
    told = dataset(entries()[request.id])
    assert str(told.PatientName) == '山田^太郎'


# Entries that fail

@pytest.fixture
def broken(hospital):
    "A function that breaks one of two requests; with their ids."
    Request = Pool().get(REQUEST)
    bad, good = (
        make_request(make_patient("José", name, ref=name),
            make_machine('ISO_IR 192', name)) for name in ["Bad", "Good"])
    Request.requested([bad, good])
    return bad, good


def set_sql(record, **values):
    table = type(record).__table__()
    execute(table.update(
            [getattr(table, name) for name in values],
            list(values.values()), where=table.id == record.id))
    for cache in Transaction().cache.values():
        cache.clear()


def only_one_fails(user, bad, good, *told):
    with as_user(user):
        found = entries()
        texts = {r['id']: r['worklist_text'] for r in Pool().get(
                REQUEST).read([bad.id, good.id], ['worklist_text'])}
    assert found[good.id]['error'] is None and found[good.id]['dicom']
    assert texts[good.id] == found[good.id]['text']
    assert found[bad.id]['dicom'] is None
    assert texts[bad.id] == found[bad.id]['error']
    for word in told:
        assert word in found[bad.id]['error']


def script():
    return make_user(
        'script', 'health_imaging_worklist.group_worklist_script')


def test_a_character_set_that_is_none(broken):
    bad, good = broken
    set_sql(bad.requested_test.imaging_worklist_template, charset='cp1252')
    only_one_fails(script(), bad, good, 'cp1252')


@pytest.mark.parametrize('error', [
        RecursionError, ValueError, KeyError, TypeError, ZeroDivisionError,
        MemoryError])
def test_whatever_happens_to_one_entry(broken, monkeypatch, caplog, error):
    bad, good = broken
    Template = Pool().get(TEMPLATE)
    to_entry, secret = Template.to_entry, "José Bad 19851004"

    def fail(template, text):
        if template.id == bad.requested_test.imaging_worklist_template.id:
            raise error(secret)
        return to_entry(template, text)
    monkeypatch.setattr(Template, 'to_entry', fail)
    with caplog.at_level(logging.INFO):
        only_one_fails(
            script(), bad, good, bad.request_line, "unexpected", "log")
    logged = [r.getMessage() for r in caplog.records
        if 'worklist' in r.name]
    # Once for the entries, once for the preview.
    assert len(logged) == 2
    for text in logged:
        assert error.__name__ in text
        assert 'request.py' in text
        assert "José" not in text and '19851004' not in text


def test_one_error_is_logged_once_for_all(broken, monkeypatch, caplog):
    monkeypatch.setattr(
        Pool().get(TEMPLATE), 'to_entry', lambda template, text: 1 / 0)
    with caplog.at_level(logging.INFO):
        assert all(e['error'] for e in entries().values())
    assert len([r for r in caplog.records if 'worklist' in r.name]) == 1


@pytest.mark.parametrize('date', [
        dt.datetime(9999, 12, 31, 23), dt.datetime(1, 1, 1, 1)])
@pytest.mark.parametrize('zone', ['Asia/Tokyo', 'America/Lima', None])
def test_the_ends_of_the_calendar(broken, hospital, date, zone):
    bad, good = broken
    hospital.timezone = zone
    hospital.save()
    set_sql(bad, date=date)
    with as_user(script()):
        found = entries()
        Pool().get(REQUEST).read(
            [bad.id], ['worklist_text', 'computed_age', 'worklist_note'])
    assert found[good.id]['dicom']
    step, = dataset(found[bad.id]).ScheduledProcedureStepSequence
    assert step.ScheduledProcedureStepStartDate in {
        '99991231', '00010101'}


def test_a_cursor_at_the_begin_of_the_calendar(broken):
    with as_user(script()):
        answer = Pool().get(REQUEST).get_worklist_entries(
            '0001-01-01T00:00:00')
    assert answer['full'] and len(answer['entries']) == 2


def test_an_error_of_the_database_is_not_swallowed(broken, monkeypatch):
    from trytond import backend

    def fail(template, text):
        raise backend.DatabaseOperationalError("try again")
    monkeypatch.setattr(Pool().get(TEMPLATE), 'to_entry', fail)
    with pytest.raises(backend.DatabaseOperationalError):
        entries()
