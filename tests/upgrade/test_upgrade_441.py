# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A hospital on 4.4.1 moves over, straight or by way of 5.0.4: what 5.0.4
left behind is there, and what people linked by hand can be carried over."""
import csv
import os
import subprocess
import sys
from pathlib import Path

import pytest
from support import releases
from support.releases import execute

pytestmark = pytest.mark.postgresql

SCRIPT = (Path(__file__).parents[2] / 'his-utils' / 'scripts'
    / 'upgrade_utils' / '5.0' / 'migrate_orthanc_module.py')
PASSWORD = 'moved-from-4.4'
ROUTES = ['straight', 'by way of 5.0.4']
CARRIED_BY_CORE = {
    'gnuhealth_imaging_test_request', 'gnuhealth_imaging_test_result',
    'gnuhealth_imaging_test', 'gnuhealth_imaging_test_type',
    'gnuhealth_orthanc_study', 'gnuhealth_orthanc_patient'}


@pytest.fixture(scope='module', params=ROUTES)
def moved(request, released, database_441):
    "The database of 4.4.1 after its upgrade, with what it was before."
    copy = database_441()
    made = database_441.made
    before = releases.snapshot(copy)
    straight = request.param == ROUTES[0]
    if not straight:
        # 5.0.4 stops at two records of one address.
        execute(copy, 'DELETE FROM gnuhealth_orthanc_config WHERE id = ?',
            made['servers'][1])
        released.upgrade_to_504(copy)
    _, log = releases.upgrade(copy, everything=straight)
    copy.made, copy.before, copy.log = made, before, log
    copy.after = releases.snapshot(copy)
    return copy


def test_rows_are_there(moved):
    for table in CARRIED_BY_CORE:
        assert moved.before[table].keys() <= moved.after[table].keys()
        for id_, row in moved.before[table].items():
            now = moved.after[table][id_]
            changed = {
                name for name, value in row.items()
                if name not in now or now[name] != value}
            assert not changed, (table, id_)


def test_templates_are_carried_over(moved, opened):
    from trytond.pool import Pool
    rows = {
        row['name']: row for row in moved.after[
            'gnuhealth_imaging_worklist_worklist_template'].values()}
    assert rows["As shipped"]['charset'] == 'ISO_IR 192'
    assert rows["Old syntax"]['charset'] == 'GB18030'
    assert rows["Old syntax"]['comment'] == "For the CT"
    assert rows["No term"]['charset'] == 'ISO_IR 100'
    chosen = {
        name: moved.after['gnuhealth_imaging_test'][id_][
            'imaging_worklist_template']
        for name, id_ in moved.made['exams'].items()}
    assert chosen == {
        'ct': rows["Old syntax"]['id'], 'mri': rows["As shipped"]['id'],
        'us': rows["No term"]['id'], 'none': None}
    with opened(moved):
        Template = Pool().get('gnuhealth.imaging_worklist.worklist_template')
        for template in Template.search([]):
            template.check_template()


def test_worklist_has_what_is_still_to_do(moved, opened):
    from trytond.pool import Pool
    with opened(moved):
        Request = Pool().get('gnuhealth.imaging.test.request')
        entries = Request.get_worklist_entries()['entries']
        assert [e['id'] for e in entries] == [moved.made['requests']['us']]


def test_each_request_has_a_uid_of_its_own(moved):
    """5.0.4 gave all of them one when its worklist was activated."""
    rows = moved.after['gnuhealth_imaging_test_request'].values()
    uids = {row['merge_id'] for row in rows}
    assert None not in uids and len(uids) == len(rows) > 2
    statuses = {row['id']: row['worklist_status'] for row in rows}
    requests = moved.made['requests']
    assert statuses == {
        requests['ct']: 'done', requests['mri']: 'done',
        requests['us']: 'todo'}


def test_server_goes_on_where_it_was(moved):
    server = moved.after['gnuhealth_orthanc_config'][
        moved.made['servers'][0]]
    assert server['last_changed_index'] == moved.made['last']
    assert server['sync_time'] == moved.before['gnuhealth_orthanc_config'][
        server['id']]['sync_time']
    assert server['domain'] == moved.made['url'].rstrip('/')
    assert server['validated'] and 'last' not in server


def test_there_is_one_schedule(moved):
    schedules = [
        row for row in moved.after['ir_cron'].values()
        if row['method'] == 'gnuhealth.orthanc.config|sync']
    assert [(r['id'], r['interval_number']) for r in schedules] == [
        (moved.made['cron'], 9)]


def test_a_second_upgrade_changes_nothing(moved):
    releases.upgrade(moved)
    again = releases.snapshot(moved)
    for table, rows in moved.after.items():
        if table.startswith('gnuhealth') or table == 'ir_cron':
            assert again[table] == rows, table


# What people linked by hand

@pytest.fixture
def script(moved, opened, make_trytond, tmp_path):
    """Return a function that runs the script, after a full synchronisation
    with the server that 4.4.1 knew."""
    from trytond.pool import Pool
    with releases.filled_orthanc(tmp_path) as orthanc:
        execute(moved, 'UPDATE gnuhealth_orthanc_config SET domain = ? '
            'WHERE id = ?', orthanc.url, moved.made['servers'][0])
        with opened(moved) as transaction:
            pool = Pool()
            User = pool.get('res.user')
            User.write([User(1)], {'password': PASSWORD})
            transaction.commit()
            Server = pool.get('gnuhealth.orthanc.config')
            run = Server.sync_server(
                Server(moved.made['servers'][0]), full=True)
            assert pool.get('gnuhealth.orthanc.sync_run')(run).state == 'done'
    server = make_trytond(moved)

    def run(*arguments):
        return subprocess.run(
            [sys.executable, SCRIPT, '-p', str(server.port), '-d',
                moved.name, *arguments],
            env={**os.environ, 'GNUHEALTH_PASSWORD': PASSWORD},
            capture_output=True, text=True)
    return run


def test_links_by_hand_are_carried_over(moved, script, tmp_path):
    made = moved.made
    result = script('--dry-run')
    assert (result.returncode, result.stderr) == (1, '')
    assert "It would be so: 2 linked" in result.stdout
    assert not marked(moved)
    report = tmp_path / 'links.csv'
    result = script('--csv', report)
    assert (result.returncode, result.stderr) == (1, '')
    lines = list(csv.DictReader(report.read_text().splitlines()))
    assert {line['orthanc_id']: line['outcome'] for line in lines} == {
        made['uuids'][0]: 'linked', made['uuids'][1]: 'linked',
        lines[2]['orthanc_id']: 'contradiction'}
    studies = {row['orthanc_UID']: row for row in marked(moved)}
    assert studies.keys() == set(made['uuids'])
    study = studies[made['uuids'][0]]
    assert study['imaging_test'] == made['results']['ct']
    assert study['request'] == made['requests']['ct']
    for study in studies.values():
        assert study['patient'] == made['patients'][0]
        assert study['link_rule'] == 'person'
    result = script()
    assert "2 linked so already" in result.stdout and marked(moved)


def marked(copy):
    rows = releases.snapshot(copy, 'gnuhealth_imaging_orthanc_study')
    return [
        row for row in rows['gnuhealth_imaging_orthanc_study'].values()
        if row['merge_comment'] == 'NEED TO VERIFY!']
