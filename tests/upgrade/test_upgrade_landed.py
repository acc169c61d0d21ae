# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A hospital that works with the last landed state of this repository takes
the modules of this checkout: every row is there afterwards, what is new is
filled in, and work goes on."""
import base64

import pytest
import since_landed
from support import releases
from support.differences import added_rows, differences, filled_columns
from support.releases import read_everything

STUDY = 'gnuhealth_imaging_orthanc_study'
CANDIDATE = 'gnuhealth_imaging_orthanc_link_candidate'
REQUEST = 'gnuhealth_imaging_test_request'
RESULT = 'gnuhealth_imaging_test_result'
REPORT = 'gnuhealth_orthanc_report'
SERVER = 'gnuhealth_orthanc_config'
RUN = 'gnuhealth_orthanc_sync_run'
EVENT = 'gnuhealth_orthanc_link_event'
LOG = 'gnuhealth_orthanc_link_log'
ACCESS = 'gnuhealth_orthanc_access_log'
FURTHER = 'gnuhealth_imaging_orthanc_study-request'
STEP = 'gnuhealth_imaging_worklist_performed_step'
FINDING = 'gnuhealth_imaging_safety_finding'
ATTACHMENT = 'ir_attachment'
LINK = [
    'patient', 'request', 'imaging_test', 'link_state', 'link_rule',
    'review_code', 'review_parameters', 'merge_id']


@pytest.fixture(scope='module')
def decided(landed, decide):
    "The studies and their log when what waited was done, and all at the end."
    return decide(landed)


def links(rows):
    return {
        id_: [row[name] for name in LINK] for id_, row in rows[STUDY].items()}


def values(rows, *names):
    return {tuple(row[name] for name in names) for row in rows.values()}


# Nothing is lost

def test_a_clone_without_the_landed_state_is_told_so(tmp_path):
    with pytest.raises(AssertionError, match="git fetch --unshallow"):
        releases.extract('0' * 40, tmp_path)


def test_every_row_is_there_and_nothing_else_changed(landed):
    found = set(differences(landed.before, landed.after))
    assert found == since_landed.changed(landed.made)


def test_no_row_is_made_up(landed):
    assert added_rows(landed.before, landed.after) == since_landed.ADDED


def test_new_columns_are_filled(landed):
    "All others say nothing of rows that were there."
    assert filled_columns(landed.before, landed.after) == (
        since_landed.filled(landed.before, landed.after))


def test_the_filled_database_has_studies_of_each_kind(landed):
    before = landed.before
    assert {
        (state, rule, bool(missing)) for state, rule, missing in values(
            before[STUDY], 'link_state', 'link_rule', 'missing_since')} >= {
        ('linked', 'merge_id', False), ('linked', 'accession', False),
        ('linked', 'patient_id', False), ('linked', 'person', False),
        ('linked', 'patient_id', True), ('unlinked', 'person', False),
        ('unlinked', None, False), ('unlinked', None, True),
        ('review', None, False)}
    studies = landed.made['studies']
    assert values(before[CANDIDATE], 'study') >= {
        (studies['review'],), (studies['of_person'],)}
    assert before[STUDY][studies['review']]['undecided_since']
    assert values(before[FURTHER], 'study', 'request') == {
        (studies['served'], landed.made['requests']['served_1'])}
    assert studies['nobody'] not in before[STUDY]
    assert before[LOG]


def test_the_filled_database_has_work_of_each_kind(landed):
    before, made = landed.before, landed.made
    assert values(before[REQUEST], 'state') == {
        ('draft',), ('requested',), ('done',), ('canceled',)}
    assert values(before[RESULT], 'state', 'revision') == {
        ('draft', 0), ('final', 0), ('final', 1)}
    assert before[RESULT][made['results']['relinked']]['studies_changed_at']
    assert values(before[REPORT], 'state') == {('stored',), ('misplaced',)}
    assert values(before[ACCESS], 'action') == {
        (action,) for action in [
            'view', 'link', 'unlink', 'upload', 'delete', 'report',
            'attach']}
    assert values(before[RUN], 'state', 'started_by') == {
        ('done', 'button'), ('done', 'upload'), ('failed', 'button')}
    assert any(row['decided_at'] for row in before[EVENT].values())
    assert not all(row['decided_at'] for row in before[EVENT].values())
    assert values(before[STEP], 'state') == {('in_progress',)}
    assert before[FINDING]
    assert before[ATTACHMENT].keys() >= {
        made['photo'], made['letter'], *(
            made['pictures'][name] for name in ['by_uid', 'relinked'])}
    amended = made['results']['by_accession']
    assert (f'gnuhealth.imaging.test.result,{amended}', 0) in values(
        before[ATTACHMENT], 'resource', 'imaging_revision')


# Every row can be used

def test_who_reported_goes_on(landed, opened):
    """Who is in Health Imaging and a health professional, or has signed; not
    the doctor, nor the administration."""
    from trytond.pool import Pool
    with opened(landed.copy):
        pool = Pool()
        group = pool.get('res.group')(pool.get('ir.model.data').get_id(
                'health_imaging', 'group_health_imaging_reporting'))
        assert {u.login for u in group.users} == {'radiologist', 'admin'}
        assert group.parent.name == "Health Imaging"


def test_every_row_can_be_read(landed, opened):
    with opened(landed.copy):
        assert len(read_everything()) > 12


def test_the_password_of_a_server_is_the_same(landed):
    from trytond.modules.health_orthanc import password
    stored = landed.after[SERVER][landed.made['server']]['password']
    assert password.unseal(stored) == landed.made['password']


def test_the_worklist_goes_on(landed, opened):
    from trytond.pool import Pool
    with opened(landed.copy):
        Request = Pool().get('gnuhealth.imaging.test.request')
        entries = Request.get_worklist_entries()['entries']
    requests = landed.made['requests']
    assert {e['id'] for e in entries} == {
        requests['of_rule'], *requests['together']}
    assert all(e['dicom'] and not e['error'] for e in entries)


def test_orders_go_on(landed, opened):
    from trytond.exceptions import UserWarning
    from trytond.pool import Pool
    from trytond.transaction import Transaction
    before = landed.before[REQUEST].values()
    with opened(landed.copy, landed.made['users']['doctor']), \
            Transaction().set_context(_check_access=True):
        Request = Pool().get('gnuhealth.imaging.test.request')
        request, = Request.copy(
            [Request(landed.made['requests']['draft'])])
        # He has the same exam already.
        with pytest.raises(UserWarning, match="was ordered or done"):
            Request.requested([request])
        with Transaction().set_context(_skip_warnings=True):
            Request.requested([request])
        assert request.state == 'requested'
        for name in ['request', 'request_line', 'merge_id', 'step_id']:
            assert getattr(request, name) not in {r[name] for r in before}


def test_canceled_requests_keep_their_reason(landed, opened):
    from trytond.pool import Pool
    with opened(landed.copy, landed.made['users']['doctor']):
        pool = Pool()
        request = pool.get('gnuhealth.imaging.test.request')(
            landed.made['requests']['canceled'])
        assert request.cancel_reason == "He did not come."
        assert request.canceled_for.name == "Patient did not come"
        assert request.arrived_at is None and not request.reschedules


def test_results_are_signed_and_amended(landed, opened):
    from trytond.pool import Pool
    from trytond.transaction import Transaction
    made = landed.made['results']
    with opened(landed.copy, landed.made['users']['radiologist']), \
            Transaction().set_context(
                _check_access=True, _skip_warnings=True):
        Result = Pool().get('gnuhealth.imaging.test.result')
        for name in ['by_uid', 'of_result', 'without', 'both']:
            Result.finalize([Result(made[name])])
        amended = Result(made['by_accession'])
        assert len(amended.former_reports) == 1
        Result.confirm_studies([Result(made['relinked'])])
        assert not Result(made['relinked']).studies_changed_at


def test_the_next_synchronization_goes_on(landed, opened, tmp_path):
    "The archive was lost: what it has not is missing and keeps its links."
    from trytond.pool import Pool
    copy = landed.another()
    with releases.filled_orthanc(tmp_path) as orthanc:
        with opened(copy) as transaction:
            pool = Pool()
            Server = pool.get('gnuhealth.orthanc.config')
            server = Server(landed.made['server'])
            Server.write([server], {
                    'domain': orthanc.url, 'user': orthanc.user,
                    'password': orthanc.password})
            transaction.commit()
            Run = pool.get('gnuhealth.orthanc.sync_run')
            run = Run(Server.sync_server(server))
            assert (run.state, run.error) == ('done', None)
    after = releases.snapshot(copy, STUDY)
    new = after[STUDY].keys() - landed.after[STUDY].keys()
    assert len(new) == len(releases.IMAGES)
    kept = {id_: row for id_, row in after[STUDY].items() if id_ not in new}
    assert all(row['missing_since'] for row in kept.values())
    assert links({STUDY: kept}) == links(landed.after)


def test_pictures_that_were_attached_are_shown(landed, opened):
    "The scheduled task opens them, since none of them is kept in sizes yet."
    from trytond.filestore import filestore
    from trytond.pool import Pool
    copy = landed.another()
    with opened(copy):
        for data in landed.made['files'].values():
            # Under the name that it had.
            filestore.set(base64.b64decode(data), prefix=copy.name)
        Attachment = Pool().get('ir.attachment')
        Attachment.keep_imaging_pictures()
    rows = releases.snapshot(copy, ATTACHMENT)[ATTACHMENT]
    pictures = {landed.made['photo'], *(
            id_ for id_ in landed.made['pictures'].values() if id_ in rows)}
    assert len(pictures) > 4
    assert {id_: row['imaging_picture'] for id_, row in rows.items()} == {
        id_: 'kept' if id_ in pictures else 'none' for id_ in rows}
    kept = {**landed.after, ATTACHMENT: rows}
    assert not set(differences(landed.after, kept)) - {
        (ATTACHMENT, id_, name) for id_ in rows for name in [
            'imaging_picture', 'imaging_small', 'imaging_print',
            'imaging_small_id', 'imaging_print_id']}


# Decisions go on

def test_what_waits_is_decided(landed, decided):
    caught_up, end = decided
    assert any(
        row['undecided_since'] for row in landed.after[STUDY].values())
    for rows in decided:
        assert not any(row['undecided_since'] for row in rows[STUDY].values())
    assert all(row['decided_at'] for row in end[EVENT].values())


def test_every_link_is_decided_as_before(landed, decided):
    for rows in decided:
        assert links(rows) == links(landed.after)
        assert rows[LOG].keys() == landed.after[LOG].keys()


def test_a_second_upgrade_changes_nothing(landed, decided):
    _, end = decided
    assert not releases.changed_again(landed.copy, end)
