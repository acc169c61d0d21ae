# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A hospital that works with a state before the last landed one takes the
modules of this checkout: what only its upgrade needs is filled in, corrected
and decided."""
import json

import pytest
import since_landed
from support.differences import differences, filled_columns
from support.releases import changed_again, read_everything, untimed

EXAM = 'gnuhealth_imaging_test'
STUDY = 'gnuhealth_imaging_orthanc_study'
CANDIDATE = 'gnuhealth_imaging_orthanc_link_candidate'
REQUEST = 'gnuhealth_imaging_test_request'
RESULT = 'gnuhealth_imaging_test_result'
REPORT = 'gnuhealth_orthanc_report'
PATIENT = 'gnuhealth_orthanc_patient'
SERVER = 'gnuhealth_orthanc_config'
LOG = 'gnuhealth_orthanc_link_log'
ATTACHMENT = 'ir_attachment'
LINK = [
    'patient', 'request', 'imaging_test', 'link_state', 'link_rule',
    'review_code', 'review_parameters', 'merge_id']


@pytest.fixture(scope='module')
def decided(former, decide):
    "The tables after all studies were decided again."
    return decide(former)


def link_of(rows, copy, name):
    row = rows[STUDY][copy.made['studies'][name]]
    return {column: row[column] for column in LINK}


def report_of(made, name):
    return made['stored_reports'][str(made['results'][name])]


# What changes, and what is new

def expected_differences(made):
    "Yield table, id and column of what the upgrade changes."
    odd = made['studies']['odd_dates']
    yield STUDY, odd, 'study_date'
    yield STUDY, odd, 'patient_birth_date'
    for name in ['state', 'attempts']:
        yield REPORT, made['failed_report'], name
    yield REPORT, report_of(made, 'relinked'), 'state'
    yield from since_landed.changed(made)


def test_every_row_is_there_and_nothing_else_changed(former):
    found = {
        difference for difference in differences(former.before, former.after)
        # The Orthanc patient of the odd dates.
        if difference[::2] != (PATIENT, 'bd')}
    assert found == set(expected_differences(former.made))


def filled(former):
    "Return what new columns hold, by table and column."
    made = former.made
    studies, requests = made['studies'], former.after[REQUEST]
    machines = {
        row['exam']: row['machine'] for row in former.after[
            'gnuhealth_imaging_worklist_exam-machine'].values()}
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
            made['results']['relinked']: former.after[RESULT][
                made['results']['relinked']]['studies_changed_at']},
        (STUDY, 'patient_birth_date_text'): {studies['odd_dates']: '14000101'},
        (PATIENT, 'bd_text'): {
            former.after[STUDY][studies['odd_dates']]['orthanc_patient']:
            '14000101'},
        **{(REQUEST, name): values for name, values in numbers.items()},
        (SERVER, 'run_hours'): dict.fromkeys(former.before[SERVER], 6),
        # What was signed before is no news.
        (RESULT, 'opened_at'): {
            id_: row['signed_at'] for id_, row in former.before[RESULT].items()
            if row['state'] == 'final'},
        # The days for which a creatinine is valid.
        (EXAM, 'creatinine_days'): dict.fromkeys(former.before[EXAM], 30),
        # Open requests get the machine of their exam.
        (REQUEST, 'machine'): {
            id_: machines[row['requested_test']]
            for id_, row in former.before[REQUEST].items()
            if row['state'] in {'draft', 'requested'}},
        **since_landed.filled(former.before, former.after),
        }


def test_new_columns_are_filled(former):
    "All others say nothing of rows that were there."
    assert filled_columns(former.before, former.after) == filled(former)


def test_the_picture_is_of_the_study_of_its_result(former):
    "Two studies have the same instances, the later one is the result's."
    studies = former.made['studies']
    assert studies['both'] < studies['former_both']
    row = former.after[ATTACHMENT][former.made['pictures']['both']]
    assert row['imaging_study'] == studies['former_both']
    letter = former.after[ATTACHMENT][former.made['letter']]
    assert letter['imaging_study'] is None


def test_lines_of_long_orders_can_be_told_apart(former):
    rows = [
        former.after[REQUEST][id_] for id_ in former.made['requests']['long']]
    assert all(len(row['request_line']) > 16 for row in rows)
    steps = {row['step_id'] for row in rows}
    assert len(steps) == len(rows)
    for row in rows:
        assert 0 < len(row['step_id']) <= 16
        assert 0 < len(row['accession_number']) <= 16


def test_a_report_that_was_refused_waits_again(former):
    report = former.after[REPORT][former.made['failed_report']]
    assert (report['state'], report['attempts'], report['refusals']) == (
        'waiting', 0, None)


def test_what_was_signed_of_another_study_is_marked(former):
    "A person had given the study to another patient after the signature."
    reports = former.after[REPORT]
    for name, state in [('by_accession', 'stored'), ('relinked', 'misplaced')]:
        assert reports[report_of(former.made, name)]['state'] == state
    marked = {
        name for name, id_ in former.made['results'].items()
        if former.after[RESULT][id_]['studies_changed_at']}
    assert marked == {'relinked'}
    assert "signed with pictures of studies that are not theirs" in former.log
    assert "stored in studies that are not of their results" in former.log


def test_dates_that_cannot_be_are_texts(former):
    row = former.after[STUDY][former.made['studies']['odd_dates']]
    assert row['study_date'] is row['patient_birth_date'] is None
    assert (row['date'], row['patient_birth_date_text']) == (
        '25230506', '14000101')


def test_every_row_can_be_read(former, opened):
    with opened(former.copy):
        assert len(read_everything()) > 12


# Work goes on

def test_the_worklist_goes_on(former, opened):
    from trytond.pool import Pool
    with opened(former.copy):
        Request = Pool().get('gnuhealth.imaging.test.request')
        entries = {
            e['id']: e for e in Request.get_worklist_entries()['entries']}
    requests = former.made['requests']
    assert entries.keys() == {
        requests['of_rule'], requests['odd_template'], *requests['long']}
    for id_ in [requests['of_rule'], *requests['long']]:
        assert entries[id_]['dicom'] and not entries[id_]['error']
    # Whose character set is none has its own entry only.
    odd = entries[requests['odd_template']]
    assert odd['dicom'] or odd['error']


def test_a_result_with_anothers_picture_is_not_signed(former, opened):
    "A rule had moved the study before, and left its picture."
    from trytond.modules.health_orthanc.exceptions import ForeignPictureError
    from trytond.pool import Pool
    from trytond.transaction import Transaction
    with opened(former.copy, former.made['users']['radiologist']), \
            Transaction().set_context(
                _check_access=True, _skip_warnings=True):
        Result = Pool().get('gnuhealth.imaging.test.result')
        with pytest.raises(ForeignPictureError):
            Result.finalize([Result(former.made['results']['moved'])])
        for name in ['by_uid', 'of_result', 'without']:
            Result.finalize([Result(former.made['results'][name])])


def test_what_waits_is_decided_and_nothing_else(former, decided):
    """Studies that were sent again wait since the upgrade: what is missing
    lets go of its link."""
    again = {
        former.made['studies'][f'{prefix}{name}']
        for name in ['of_person', 'of_rule', 'same_patient', 'taken']
        for prefix in ['', 'former_']}
    caught_up, end = decided
    others = caught_up[STUDY].keys() - again
    assert untimed({id_: caught_up[STUDY][id_] for id_ in others}) == untimed(
        {id_: former.after[STUDY][id_] for id_ in others})
    new = caught_up[LOG].keys() - former.after[LOG].keys()
    assert {caught_up[LOG][id_]['study'] for id_ in new} <= again
    others |= {former.made['studies'][name] for name in ['of_rule', 'taken']}
    for id_ in others:
        assert [end[STUDY][id_][name] for name in LINK] == [
            former.after[STUDY][id_][name] for name in LINK]


def test_a_missing_study_that_came_again_lets_go(former, decided):
    _, rows = decided
    for name in ['of_person', 'of_rule', 'same_patient']:
        row = rows[STUDY][former.made['studies'][f'former_{name}']]
        assert not (row['patient'] or row['request'] or row['imaging_test'])
        lines = [
            line for id_, line in rows[LOG].items()
            if line['study'] == row['id'] and id_ not in former.after[LOG]]
        assert [line['cause'] for line in lines] == ['replaced']


def test_another_patient_id_is_reviewed_with_the_former_link(former, decided):
    _, rows = decided
    study = former.made['studies']['of_person']
    row = rows[STUDY][study]
    assert (row['link_state'], row['review_code']) == (
        'review', 'former_link')
    assert json.loads(row['review_parameters']) == {
        'patient': 'ANA0001', 'patient_id': 'WRONG0'}
    offered = [
        line['patient'] for line in rows[CANDIDATE].values()
        if line['study'] == study]
    assert offered == [former.made['patients']['ana']]
    # Nobody knows whose picture it is until a person decides.
    assert former.made['pictures']['of_person'] not in (
        rows[ATTACHMENT])


def test_the_same_patient_keeps_what_a_person_chose(former, decided):
    made, (_, rows) = former.made, decided
    link = link_of(rows, former, 'same_patient')
    before = link_of(former.after, former, 'former_same_patient')
    assert {**link, 'merge_id': None} == {**before, 'merge_id': None}
    assert link['imaging_test'] == made['results']['same_patient']
    row = rows[ATTACHMENT][made['pictures']['same_patient']]
    assert row['imaging_study'] == made['studies']['same_patient']


def test_a_second_upgrade_changes_nothing(former, decided):
    _, rows = decided
    assert not changed_again(former.copy, rows)
