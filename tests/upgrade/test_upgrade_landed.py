# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A hospital that works with the last landed state of this repository takes
the modules of this checkout: every row is there afterwards with its links,
what is new is filled in, and decisions go on."""
import datetime as dt
import json

import pytest
from support import releases
from support.differences import differences
from support.releases import read_everything, untimed

STUDY = 'gnuhealth_imaging_orthanc_study'
SERIES = 'gnuhealth_imaging_orthanc_study_series'
CANDIDATE = 'gnuhealth_imaging_orthanc_link_candidate'
REQUEST = 'gnuhealth_imaging_test_request'
RESULT = 'gnuhealth_imaging_test_result'
REPORT = 'gnuhealth_orthanc_report'
PATIENT = 'gnuhealth_orthanc_patient'
LOG = 'gnuhealth_orthanc_link_log'
ATTACHMENT = 'ir_attachment'
LINK = [
    'patient', 'request', 'imaging_test', 'link_state', 'link_rule',
    'review_code', 'review_parameters', 'merge_id']


@pytest.fixture(scope='module')
def landed(database_landed):
    "The database of the last landed state before and after the upgrade."
    copy = database_landed()
    copy.made = database_landed.made
    copy.before = releases.snapshot(copy)
    _, copy.log = releases.upgrade(copy)
    copy.after = releases.snapshot(copy)
    return copy


@pytest.fixture(scope='module')
def decided(landed, opened):
    """The upgraded database, after all studies were decided again as a
    complete synchronization does."""
    from trytond.modules.health_orthanc.links import events
    from trytond.pool import Pool
    with opened(landed):
        LinkEvent = Pool().get('gnuhealth.orthanc.link_event')
        LinkEvent.catch_up(dt.datetime.now() - dt.timedelta(days=1))
        landed.caught_up = releases.snapshot(landed, STUDY, LOG)
        events.decide_in_parts(sorted(landed.after[STUDY]), 'sync')
    landed.decided = releases.snapshot(landed)
    return landed


def link_of(rows, copy, name):
    row = rows[STUDY][copy.made['studies'][name]]
    return {column: row[column] for column in LINK}


def report_of(made, name):
    return made['stored_reports'][str(made['results'][name])]


def patient(copy, name):
    return copy.made['patients'][name]


# Nothing is lost

def test_a_clone_without_the_landed_state_is_told_so(tmp_path):
    with pytest.raises(AssertionError, match="git fetch --unshallow"):
        releases.extract('0' * 40, tmp_path)


def expected_differences(made):
    "Yield table, id and column of what the upgrade changes."
    odd = made['studies']['odd_dates']
    yield STUDY, odd, 'study_date'
    yield STUDY, odd, 'patient_birth_date'
    for name in ['state', 'attempts']:
        yield REPORT, made['failed_report'], name
    yield REPORT, report_of(made, 'relinked'), 'state'


def test_every_row_is_there_and_nothing_else_changed(landed):
    found = {
        difference for difference in differences(landed.before, landed.after)
        # The Orthanc patient of the odd dates.
        if difference[::2] != (PATIENT, 'bd')}
    assert found == set(expected_differences(landed.made))


def test_links_and_candidates_stay(landed):
    for id_, row in landed.before[STUDY].items():
        now = landed.after[STUDY][id_]
        assert {n: now[n] for n in LINK} == {n: row[n] for n in LINK}
    for table in [CANDIDATE, LOG]:
        assert landed.before[table]
        assert landed.after[table].keys() == landed.before[table].keys()


def test_the_filled_database_has_what_it_is_for(landed):
    found = {
        (row['link_state'], row['link_rule'], bool(row['missing_since']))
        for row in landed.before[STUDY].values()}
    assert found >= {
        ('linked', 'merge_id', False), ('linked', 'accession', False),
        ('linked', 'patient_id', False), ('linked', 'person', False),
        ('linked', 'patient_id', True), ('linked', 'person', True),
        ('unlinked', 'person', False), ('unlinked', None, False),
        ('unlinked', None, True), ('review', None, False)}
    reviewed = {row['study'] for row in landed.before[CANDIDATE].values()}
    assert landed.made['studies']['review'] in reviewed
    results = {row['state'] for row in landed.before[RESULT].values()}
    assert results == {'draft', 'final'}
    numbers = {row['request_line'] for row in landed.before[REQUEST].values()}
    assert any(len(number) > 16 for number in numbers)


# What is new is filled in

def new_columns(landed, table):
    "Return values by id of rows, and by new column."
    rows = landed.after[table]
    new = {
        name for row in rows.values() for name in row
        } - {name for row in landed.before[table].values() for name in row}
    return {
        name: {id_: row[name] for id_, row in rows.items()
            if row[name] not in {None, 0, False}}
        for name in new}


def filled_columns(landed):
    "Return what new columns hold, by table and column."
    made = landed.made
    studies, requests = made['studies'], landed.after[REQUEST]
    numbers = {
        'accession_number': {i: r['request'] for i, r in requests.items()},
        'step_id': {i: r['request_line'] for i, r in requests.items()}}
    for name, values in numbers.items():
        values.update((i, requests[i][name]) for i in made['requests']['long'])
    return {
        (ATTACHMENT, 'imaging_study'): {
            id_: studies.get(f'former_{name}', studies[name])
            for name, id_ in made['pictures'].items()},
        (RESULT, 'studies_changed_at'): {
            made['results']['relinked']: landed.after[RESULT][
                made['results']['relinked']]['studies_changed_at']},
        (STUDY, 'patient_birth_date_text'): {studies['odd_dates']: '14000101'},
        (PATIENT, 'bd_text'): {
            landed.after[STUDY][studies['odd_dates']]['orthanc_patient']:
            '14000101'},
        **{(REQUEST, name): values for name, values in numbers.items()},
        }


def test_new_columns_are_filled(landed):
    "All others say nothing of rows that were there."
    expected, found = filled_columns(landed), {}
    for table, rows in landed.before.items():
        if rows and (table == ATTACHMENT or not table.startswith('ir_')):
            found.update(
                ((table, name), values) for name, values
                in new_columns(landed, table).items() if values)
    assert found == expected


def test_the_picture_is_of_the_study_of_its_result(landed):
    "Two studies have the same instances, the later one is the result's."
    studies = landed.made['studies']
    assert studies['both'] < studies['former_both']
    row = landed.after[ATTACHMENT][landed.made['pictures']['both']]
    assert row['imaging_study'] == studies['former_both']
    letter = landed.after[ATTACHMENT][landed.made['letter']]
    assert letter['imaging_study'] is None


def test_lines_of_long_orders_can_be_told_apart(landed):
    rows = [
        landed.after[REQUEST][id_] for id_ in landed.made['requests']['long']]
    steps = {row['step_id'] for row in rows}
    assert len(steps) == len(rows)
    for row in rows:
        assert 0 < len(row['step_id']) <= 16
        assert 0 < len(row['accession_number']) <= 16


def test_a_report_that_was_refused_waits_again(landed):
    report = landed.after[REPORT][landed.made['failed_report']]
    assert (report['state'], report['attempts'], report['refusals']) == (
        'waiting', 0, 0)


def test_what_was_signed_of_another_study_is_marked(landed):
    "A person had given the study to another patient after the signature."
    reports = landed.after[REPORT]
    for name, state in [('by_accession', 'stored'), ('relinked', 'misplaced')]:
        assert reports[report_of(landed.made, name)]['state'] == state
    marked = {
        name for name, id_ in landed.made['results'].items()
        if landed.after[RESULT][id_]['studies_changed_at']}
    assert marked == {'relinked'}
    assert "signed with pictures of studies that are not theirs" in landed.log
    assert "stored in studies that are not of their results" in landed.log


def test_dates_that_cannot_be_are_texts(landed):
    row = landed.after[STUDY][landed.made['studies']['odd_dates']]
    assert row['study_date'] is row['patient_birth_date'] is None
    assert (row['date'], row['patient_birth_date_text']) == (
        '25230506', '14000101')


def test_every_row_can_be_read(landed, opened):
    with opened(landed):
        assert len(read_everything()) > 12


# Work goes on

def test_the_worklist_goes_on(landed, opened):
    from trytond.pool import Pool
    with opened(landed):
        Request = Pool().get('gnuhealth.imaging.test.request')
        entries = {
            e['id']: e for e in Request.get_worklist_entries()['entries']}
    requests = landed.made['requests']
    assert entries.keys() == {
        requests['of_rule'], requests['odd_template'], *requests['long']}
    for id_ in [requests['of_rule'], *requests['long']]:
        assert entries[id_]['dicom'] and not entries[id_]['error']
    # Whose character set is none has its own entry only.
    odd = entries[requests['odd_template']]
    assert odd['dicom'] or odd['error']


def test_a_result_with_anothers_picture_is_not_signed(landed, opened):
    "A rule had moved the study before, and left its picture."
    from trytond.modules.health_orthanc.exceptions import ForeignPictureError
    from trytond.pool import Pool
    from trytond.transaction import Transaction
    with opened(landed, landed.made['users']['radiologist']), \
            Transaction().set_context(_check_access=True):
        Result = Pool().get('gnuhealth.imaging.test.result')
        with pytest.raises(ForeignPictureError):
            Result.finalize([Result(landed.made['results']['moved'])])
        for name in ['by_uid', 'of_result', 'without']:
            Result.finalize([Result(landed.made['results'][name])])


def test_what_waits_is_decided_and_nothing_else(decided):
    """Studies that were sent again wait since the upgrade: what is missing
    lets go of its link."""
    again = {
        decided.made['studies'][f'{prefix}{name}']
        for name in ['of_person', 'of_rule', 'same_patient', 'taken']
        for prefix in ['', 'former_']}
    rows, after = decided.caught_up[STUDY], decided.after[STUDY]
    others = rows.keys() - again
    assert untimed({id_: rows[id_] for id_ in others}) == untimed(
        {id_: after[id_] for id_ in others})
    new = decided.caught_up[LOG].keys() - decided.after[LOG].keys()
    assert {decided.caught_up[LOG][id_]['study'] for id_ in new} <= again


def test_links_of_people_survive_the_decision(decided):
    for name in ['by_person', 'of_result', 'relinked', 'rejected',
            'undone', 'taken', 'former_both']:
        assert link_of(decided.decided, decided, name) == link_of(
            decided.after, decided, name), name


def test_rules_decide_as_before(decided):
    for name in ['by_uid', 'by_accession', 'by_puid', 'moved', 'of_rule',
            'both', 'missing', 'missing_of_nobody', 'nobody']:
        assert link_of(decided.decided, decided, name) == link_of(
            decided.after, decided, name), name
    reviewed = link_of(decided.decided, decided, 'review')
    assert reviewed['link_state'] == 'review'
    assert reviewed['patient'] is None


def test_a_missing_study_that_came_again_lets_go(decided):
    for name in ['of_person', 'of_rule', 'same_patient']:
        row = decided.decided[STUDY][decided.made['studies'][f'former_{name}']]
        assert not (row['patient'] or row['request'] or row['imaging_test'])
        lines = [
            line for id_, line in decided.decided[LOG].items()
            if line['study'] == row['id'] and id_ not in decided.after[LOG]]
        assert [line['cause'] for line in lines] == ['replaced']


def test_another_patient_id_is_reviewed_with_the_former_link(decided):
    study = decided.made['studies']['of_person']
    row = decided.decided[STUDY][study]
    assert (row['link_state'], row['review_code']) == (
        'review', 'former_link')
    assert json.loads(row['review_parameters']) == {
        'patient': 'ANA0001', 'patient_id': 'WRONG0'}
    offered = [
        line['patient'] for line in decided.decided[CANDIDATE].values()
        if line['study'] == study]
    assert offered == [patient(decided, 'ana')]
    # Nobody knows whose picture it is until a person decides.
    assert decided.made['pictures']['of_person'] not in (
        decided.decided[ATTACHMENT])


def test_the_same_patient_keeps_what_a_person_chose(decided):
    made = decided.made
    link = link_of(decided.decided, decided, 'same_patient')
    before = link_of(decided.after, decided, 'former_same_patient')
    assert {**link, 'merge_id': None} == {**before, 'merge_id': None}
    assert link['imaging_test'] == made['results']['same_patient']
    row = decided.decided[ATTACHMENT][made['pictures']['same_patient']]
    assert row['imaging_study'] == made['studies']['same_patient']


def test_a_second_upgrade_changes_nothing(decided):
    releases.upgrade(decided)
    again = releases.snapshot(decided)
    for table, rows in decided.decided.items():
        # What trytond itself writes each time.
        if table not in {'ir_cache', 'ir_lang'}:
            assert untimed(again[table]) == untimed(rows), table
