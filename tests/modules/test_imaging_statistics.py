# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Statistics with known numbers, on both databases: requests per month of the
institution's time zone, and the percentiles of how long exams take."""
import datetime as dt
import statistics

import pytest
from lxml import etree
from support.records import as_user, make_exam, make_request, user
from support.statements import counted

from trytond.model.exceptions import AccessError
from trytond.modules.health_imaging.statistics import MONTHS, months, period
from trytond.pool import Pool
from trytond.pyson import PYSONDecoder
from trytond.transaction import Transaction, check_access

REQUESTS = 'gnuhealth.imaging.statistics.requests'
TURNAROUND = 'gnuhealth.imaging.statistics.turnaround'
YEAR = {'from_date': dt.date(2025, 1, 1), 'to_date': dt.date(2025, 12, 31)}
HOUR = dt.timedelta(hours=1)


@pytest.fixture
def hospital(hospital, transaction):
    "The hospital of the file, and a transaction for what a test makes."


def put(record, **values):
    "Write past the rules of the model, as only time does."
    table = record.__table__()
    Transaction().connection.cursor().execute(*table.update(
            [getattr(table, name) for name in values],
            list(values.values()), where=table.id == record.id))


def have_request(state='requested', **values):
    request = make_request(**values)
    put(request, state=state)
    return request


def have_result(request, images=None, final=None):
    """Make the result of a request, its dates hours after it was sent."""
    Result = Pool().get('gnuhealth.imaging.test.result')
    type(request).requested([request])
    result, = Result.create([{'request': request.id}])
    sent = dt.datetime(2025, 5, 5, 12)
    put(request, requested_at=sent)
    put(result, date=sent + images * HOUR,
        signed_at=None if final is None else sent + final * HOUR)
    return result


def rows(model, *names, **context):
    Model = Pool().get(model)
    with Transaction().set_context({**YEAR, **context}):
        return [
            tuple(getattr(row, name) for name in names)
            for row in Model.search([])]


def test_requests_are_counted_by_month_and_modality(hospital):
    mri = make_exam("MR knee", type_='mri')
    march = dt.datetime(2025, 3, 10, 12)
    have_request(date=march)
    have_request('done', date=march, urgent=True)
    have_request('canceled', date=march, urgent=True)
    have_request('draft', date=march)
    have_request(date=march, exam=mri)
    have_request(date=dt.datetime(2025, 4, 1, 12))
    have_request(date=dt.datetime(2024, 12, 31, 12))
    found = rows(
        REQUESTS, 'month', 'modality', 'number', 'done', 'urgent', 'canceled')
    assert [row[:2] for row in found] == [
        (f'2025-{month:02}', modality)
        for month in range(1, 13) for modality in ['CT', 'MR']]
    assert [row for row in found if any(row[2:])] == [
        ('2025-03', 'CT', 2, 1, 1, 1),
        ('2025-03', 'MR', 1, 0, 0, 0),
        ('2025-04', 'CT', 1, 0, 0, 0),
        ]
    assert sum(number for number, in rows(
            REQUESTS, 'number', type=mri.test_type.id)) == 1


def test_the_list_has_the_newest_first_and_nothing_empty(hospital):
    make_exam("MR knee", type_='mri')
    for month in [3, 5]:
        have_request(date=dt.datetime(2025, month, 10, 12))
    have_request('canceled', date=dt.datetime(2025, 4, 10, 12))
    window = Pool().get('ir.action.act_window').get(
        'health_imaging.act_statistics_requests')
    decode = PYSONDecoder().decode
    with Transaction().set_context(YEAR):
        found = Pool().get(REQUESTS).search(
            decode(window['pyson_domain']),
            order=decode(window['pyson_order']))
        assert [(row.month, row.modality) for row in found] == [
            ('2025-05', 'CT'), ('2025-04', 'CT'), ('2025-03', 'CT')]


def test_the_graph_has_twenty_exams_the_most_frequent_first(hospital):
    for number in range(22):
        exam = make_exam(f"Exam {number}", code=f'E{number}')
        for _ in range(1 + number % 3):
            have_result(make_request(exam=exam), 1, 2)
    window = Pool().get('ir.action.act_window').get(
        'health_imaging.act_statistics_turnaround_graph')
    order = PYSONDecoder().decode(window['pyson_order'])
    with Transaction().set_context(YEAR):
        found = Pool().get(TURNAROUND).search(
            [], limit=window['limit'], order=order)
        assert [row.number for row in found] == 7 * [3] + 7 * [2] + 6 * [1]


def test_rows_keep_their_number(hospital):
    have_request(date=dt.datetime(2025, 3, 10, 12))
    Statistic = Pool().get(REQUESTS)
    with Transaction().set_context(YEAR):
        row, = Statistic.search([('number', '>', 0)])
        assert Statistic.read([row.id], ['month', 'number']) == [
            {'id': row.id, 'month': '2025-03', 'number': 1}]


def test_months_are_those_of_the_institution(hospital):
    "Lima is five hours behind UTC."
    have_request(date=dt.datetime(2025, 6, 1, 4, 59))
    have_request(date=dt.datetime(2025, 6, 1, 5))
    assert [row for row in rows(REQUESTS, 'month', 'number') if row[1]] == [
        ('2025-05', 1), ('2025-06', 1)]
    assert rows(REQUESTS, 'month', 'number',
            from_date=dt.date(2025, 5, 31), to_date=dt.date(2025, 5, 31)) == [
        ('2025-05', 1)]


@pytest.mark.parametrize('first, last', [
        (dt.date(2025, 2, 2), dt.date(2025, 2, 1)),
        (dt.date.min, dt.date.min),
        (dt.date.min, dt.date.max),
        (dt.date.max, dt.date.max),
        (None, dt.date.min),
        (None, None),
        ])
def test_any_period_can_be_asked_for(hospital, first, last):
    have_request(date=dt.datetime(2025, 3, 10, 12))
    for model in [REQUESTS, TURNAROUND]:
        rows(model, 'number', from_date=first, to_date=last)
    with Transaction().set_context(from_date=first, to_date=last):
        assert len(months()) <= MONTHS


def test_the_last_twelve_months_are_shown_at_first(hospital):
    Context = Pool().get('gnuhealth.imaging.statistics.context')
    default = Context.default_get(['from_date', 'to_date', 'type'])
    assert (default['from_date'], default['to_date']) == period()
    assert len(months()) == 12
    assert not default.get('type')


def test_the_graph_has_a_bar_for_each_modality(hospital):
    make_exam("MR knee", type_='mri')
    Statistic = Pool().get(REQUESTS)
    view = Statistic.fields_view_get(view_type='graph')
    assert 'modality' in view['fields']
    bars = etree.fromstring(view['arch']).xpath('/graph/y/field')
    assert [bar.get('string') for bar in bars] == ['CT', 'MR']
    assert len({bar.get('key') for bar in bars}) == 2
    # The desktop client needs something to draw in each month.
    assert {modality for modality, in rows(REQUESTS, 'modality')} == {
        'CT', 'MR'}
    assert all(bar.get('name') == 'number' for bar in bars)


def turnaround(*names, **context):
    "Return the rows, without the noise of floating point."
    return [
        tuple(round(value, 6) if isinstance(value, float) else value
            for value in row)
        for row in rows(TURNAROUND, *names, **context)]


STAGES = [
    'images_median', 'images_percentile', 'reading_median',
    'reading_percentile', 'total_median', 'total_percentile']


def test_turnaround_of_an_exam(hospital):
    for images, final in [(1, 3), (2, 10), (4, 6), (9, None)]:
        have_result(make_request(), images, final)
    put(make_request(), state='requested',
        requested_at=dt.datetime(2025, 5, 5))
    assert turnaround('modality', 'urgent', 'number', 'final', *STAGES) == [
        ('CT', False, 5, 3, 3, 7.5, 2, 6.8, 6, 9.2)]


def test_turnaround_is_computed_once_for_a_list(hospital):
    """Until something is corrected."""
    result = have_result(make_request(), 2, 4)
    Model = Pool().get(TURNAROUND)

    def read(**context):
        with Transaction().set_context({**YEAR, **context}):
            found = Model.search([])
            return Model.read([r.id for r in found], [
                    'exam', 'number', 'total_median', 'waiting_median'])

    with counted() as statements:
        row, = read()
    assert (row['number'], row['total_median'], row['waiting_median']) == (
        1, 4, None)
    assert sum('gnuhealth_imaging_test_result' in s for s in statements) == 1
    assert not read(to_date=dt.date(2025, 1, 31))
    put(result, signed_at=dt.datetime(2025, 5, 5, 17))
    type(result).write([result], {'comment': "Corrected."})
    row, = read()
    assert row['total_median'] == 5


def test_a_form_of_turnaround_looks_at_requests_of_its_exam(hospital):
    mri = make_exam("MR knee", type_='mri')
    have_result(make_request(), 2, 4)
    have_result(make_request(exam=mri), 24, 48)
    Model = Pool().get(TURNAROUND)
    names = ['number', 'total_median', 'rec_name', 'exam.rec_name']
    with as_user(user('doctor')), check_access(), \
            Transaction().set_context(YEAR):
        listed = Model.read([r.id for r in Model.search([])], names)
        assert [row['total_median'] for row in listed] == [4, 48]
        for row in listed:
            for cache in Transaction().cache.values():
                cache.clear()
            with counted() as statements:
                assert Model.read([row['id']], names) == [row]
            computed, = [s for s in statements
                if 'gnuhealth_imaging_test_result' in s]
            cursor = Transaction().connection.cursor()
            cursor.execute(computed, computed.params)
            assert len(cursor.fetchall()) == 1


def test_turnaround_of_each_exam_and_urgency(hospital):
    mri = make_exam("MR knee", type_='mri')
    have_result(make_request(), 2, 4)
    have_result(make_request(urgent=True), 0.5, 1)
    have_result(make_request(exam=mri), 24, 48)
    names = ['exam.name', 'urgent', 'number', 'images_median', 'total_median']
    assert turnaround('modality', *names[1:]) == [
        ('CT', True, 1, 0.5, 1), ('CT', False, 1, 2, 4),
        ('MR', False, 1, 24, 48)]
    assert turnaround('rec_name') == [
        ("Head CT, urgent",), ("Head CT",), ("MR knee",)]
    assert turnaround('modality', type=mri.test_type.id) == [('MR',)]
    assert turnaround('modality', to_date=dt.date(2025, 5, 4)) == []


def test_what_was_never_sent_or_done_takes_no_time(hospital):
    put(make_request(), requested_at=None)
    have_result(make_request(), 1, 2)
    canceled = make_request()
    put(canceled, state='canceled',
        requested_at=dt.datetime(2025, 5, 5))
    put(make_request(exam=make_exam("MR knee", type_='mri')),
        state='requested', requested_at=dt.datetime(2025, 5, 5))
    assert turnaround('number', 'final', *STAGES) == [
        (1, 1, 1, 1, 1, 1, 2, 2),
        (1, 0, None, None, None, None, None, None)]


def test_images_that_were_there_before_took_no_time(hospital):
    have_result(make_request(), -3, 2)
    assert turnaround('images_median', 'reading_median', 'total_median') == [
        (0, 5, 2)]


def test_percentiles_are_those_of_the_textbook(hospital):
    hours = [(7919 * n) % 1009 / 7 for n in range(43)]
    for hour in hours:
        have_result(make_request(), hour, hour)
    (median, percentile), = rows(
        TURNAROUND, 'images_median', 'images_percentile')
    # Stamps are kept to the second.
    assert median == pytest.approx(statistics.median(hours), abs=1e-3)
    assert percentile == pytest.approx(
        statistics.quantiles(hours, n=10, method='inclusive')[8], abs=1e-3)


@pytest.mark.postgresql
def test_percentiles_are_those_of_postgresql(hospital):
    for n in range(20):
        have_result(make_request(), n, n ** 2)
    cursor = Transaction().connection.cursor()
    cursor.execute(
        "SELECT percentile_cont(ARRAY[0.5, 0.9]) WITHIN GROUP (ORDER BY"
        " extract(epoch FROM result.signed_at - request.requested_at) / 3600)"
        " FROM gnuhealth_imaging_test_request request"
        " JOIN gnuhealth_imaging_test_result result"
        " ON result.request = request.id")
    (expected,), = cursor.fetchall()
    (median, percentile), = rows(
        TURNAROUND, 'total_median', 'total_percentile')
    assert [median, percentile] == pytest.approx(expected)


def test_images_count_from_the_first_study(hospital):
    pool = Pool()
    Server = pool.get('gnuhealth.orthanc.config')
    Study = pool.get('gnuhealth.imaging_orthanc.study')
    request = make_request()
    have_result(request, 8, 20)
    server, = Server.create([{
                'label': "PACS", 'domain': 'http://127.0.0.1:9',
                'user': 'a', 'password': 'b',
                }])
    sent = dt.datetime(2025, 5, 5, 12)
    for name, hours in [('one', 6), ('two', 5)]:
        study, = Study.create([{
                    'orthanc_server': server.id, 'orthanc_UID': name,
                    'study_instance_UID': f'1.2.{hours}',
                    }])
        put(study, request=request.id, create_date=sent + hours * HOUR)
    assert turnaround('number', 'images_median', 'reading_median') == [
        (1, 5, 15)]


@pytest.mark.parametrize('model', [REQUESTS, TURNAROUND])
def test_who_sees_requests_sees_statistics(hospital, model):
    have_result(make_request(date=dt.datetime(2025, 3, 10, 12)), 1, 2)
    for login in ['doctor', 'radiologist', 'technician']:
        with as_user(user(login)), check_access():
            assert rows(model, 'modality', 'rec_name')
    with as_user(user('stranger')), check_access():
        with pytest.raises(AccessError):
            rows(model, 'modality')
