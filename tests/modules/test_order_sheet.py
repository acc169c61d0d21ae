# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The order sheet and the label of requests, read back from the PDF, and the
number on them, typed by a scanner."""
import datetime as dt

import pytest
from support import catalogs
from support.printed import Printed
from support.records import (
    as_user, commit, make_exam, make_hospital, make_patient, make_professional,
    make_requested, make_result, make_user, user)

from trytond.exceptions import UserError
from trytond.modules.health_imaging.order_sheet import bars
from trytond.pool import Pool

SHEET = 'gnuhealth.imaging.order_sheet'
LABEL = 'gnuhealth.imaging.order_label'
REQUEST = 'gnuhealth.imaging.test.request'


@pytest.fixture(scope='module')
def hospital(activated):
    def make():
        make_hospital()
        make_user('desk', 'health_imaging.group_health_imaging_front_desk')
    commit(make)


@pytest.fixture
def printed(hospital, transaction, tmp_path):
    def run(name, login, *requests, **context):
        Report = Pool().get(name, type='report')
        with as_user(user(login), **context):
            extension, content, _, _ = Report.execute(
                [r.id for r in requests], {})
        assert extension == 'pdf'
        return Printed(content, tmp_path)
    return run


def order(patient=None, request='ORD7', **values):
    "Return a request that was sent, of which all is known."
    patient = patient or make_patient("Remedios", "Quiroga", 'f',
        dt.date(1984, 2, 29), ref='PU-77')
    context, = Pool().get('gnuhealth.pathology').create(
        [{'name': "Concussion", 'code': f'S06.{request}'}])
    return make_requested(**{
            'patient': patient, 'request': request,
            'exam': make_exam("X-ray hand, right", aetitle='CT2'),
            'doctor': make_professional(name="Hans", lastname="Meier"),
            'date': dt.datetime(2026, 5, 4, 2, 30, 59),
            'urgent': True, 'context': context.id,
            'comment': "Fell.\nHas a pacemaker.", **values})


@pytest.mark.parametrize('login', ['desk', 'technician', 'doctor'])
def test_the_sheet_says_what_was_ordered(printed, login):
    request = order()
    make_result(request, comment="No fracture.")
    sheet = printed(SHEET, login, request)
    for part in [
            "Hospital Santa Rosa", "Imaging order", "Urgent",
            "Patient Quiroga, Remedios", "PUID PU-77",
            "Date of birth 02/29/1984", "Age at exam 42y 2m 4d",
            "Sex Female", "Request ORD7-01-01", "Exam X-ray hand, right",
            "Requested for 05/03/2026 21:30 (UTC-05:00)", "Modality CT",
            "AE Title CT2", "Requested by Meier, Hans",
            "Order, accession ORD7", "Concussion",
            "Comments Fell. Has a pacemaker.", "Page 1 of 1"]:
        assert part in sheet.text, part
    assert "fracture" not in sheet.text
    assert sheet.bars() == 'ORD7'


def test_several_requests_each_on_its_page(printed):
    requests = [
        order(make_patient(), '1234567', urgent=False, comment=None),
        order(request='2026-0000000007')]
    type(requests[0]).cancel_for(requests[:1], "Absent")
    sheet = printed(SHEET, 'desk', *requests)
    first, second = sheet.pages
    assert "CANCELED" in first and "CANCELED" not in second
    assert "Urgent" not in first and "Comments" not in first
    assert [sheet.bars(1), sheet.bars(2)] == ['1234567', '2026-0000000007']
    label = printed(LABEL, 'desk', *requests)
    first, second = label.pages
    assert [label.bars(1), label.bars(2)] == ['1234567', '2026-0000000007']
    for part in ["Quiroga, Remedios", "PU-77", "02/29/1984", "Female",
            "X-ray hand, right", "05/03/2026 21:30", "2026-0000000007"]:
        assert part in second, part


def test_long_names_stay_on_one_label(printed):
    request = order(
        make_patient("María de los Ángeles Guadalupe",
            "Fernández de Córdoba y Álvarez de Toledo", ref='PU-123456'),
        exam=make_exam("Computed tomography of the cervical spine, "
            "with contrast"))
    label = printed(LABEL, 'technician', request)
    assert len(label.pages) == 1
    assert "Toledo" in label.text and "contrast" in label.text
    assert label.bars() == 'ORD7'


@pytest.mark.parametrize('language', ['ar', 'zh_CN'])
def test_the_sheet_in_other_scripts(printed, language):
    catalogs.install(language)
    request = order(make_patient("محمد", "العربي", ref='12-34-56')
        if language == 'ar' else make_patient("丽华", "陈", ref='12-34-56'))
    for name in [SHEET, LABEL]:
        paper = printed(name, 'desk', request, language=language)
        assert '12-34-56' in paper.text
        assert paper.bars() == 'ORD7'
        assert '\ufffd' not in paper.text
    sheet = printed(SHEET, 'desk', request, language=language)
    left = {word: x for word, _, x, _ in sheet.words}
    if language == 'ar':
        # Labels stand on the right of their values.
        assert left['CT2'] < 297 < left['ORD7-01-01'] or (
            left['X-ray'] > 297 > left['ORD7-01-01'])
        assert "Patient" not in sheet.text
    else:
        assert "CJK" in sheet._run('pdffonts')
        assert "陈" in sheet.text and "检查" in sheet.text


def test_who_may_not_read_requests_prints_none(printed):
    request = order()
    for name in [SHEET, LABEL]:
        with pytest.raises(UserError):
            printed(name, 'stranger', request)


@pytest.mark.parametrize('number', [None, '', 'Ñ7', 'X' * 80])
def test_what_no_scanner_reads_has_no_bars(number):
    assert bars(number, 66, 8) is None


@pytest.mark.parametrize('number', ['ORD7', 'ORDER-2026-000000000007'])
def test_the_number_from_a_scanner_finds_the_request(
        hospital, transaction, number):
    request = order(request=number)
    order(make_patient(), 'ORD8')
    scanned = request.accession()
    assert len(scanned) <= 16
    for login in ['desk', 'technician', 'doctor']:
        with as_user(user(login)):
            found = Pool().get(REQUEST).search(
                [('rec_name', 'ilike', f'%{scanned}%')])
        assert [r.id for r in found] == [request.id]
