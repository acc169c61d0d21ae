# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A hospital that used 5.0.4 for years takes the packages of this checkout:
every row is there afterwards with its links, and work goes on."""
import datetime as dt
import json
import re
from collections import Counter
from pathlib import Path

import pytest
from sources import MODULES
from support import releases
from support.differences import differences
from support.releases import execute, read_everything, untimed

from trytond.modules.health_orthanc.migration import orthanc_id

ROOT = Path(__file__).parents[2]
STUDY = 'gnuhealth_imaging_orthanc_study'
SERIES = 'gnuhealth_imaging_orthanc_study_series'
INSTANCE = 'gnuhealth_imaging_orthanc_series_instances'
REQUEST = 'gnuhealth_imaging_test_request'
RESULT = 'gnuhealth_imaging_test_result'
EXAM = 'gnuhealth_imaging_test'
TEMPLATE = 'gnuhealth_imaging_worklist_worklist_template'
SERVER = 'gnuhealth_orthanc_config'
MEMBER = 'res_user-res_group'
PREFIX = 'gnuhealth_imaging_worklist'
MACHINE = f'{PREFIX}_machine'


@pytest.fixture
def made(upgraded):
    return upgraded.made


@pytest.fixture
def after(upgraded):
    "Return a function that gives a row after the upgrade."
    def row(table, id_):
        return upgraded.after[table][id_]
    return row


def expected_differences(made):
    "Yield what the documentation says that the upgrade changes."
    requests, results = made['requests'], made['results']
    studies, series = made['studies'], made['series']
    instances = made['instances']
    for id_ in [
            *requests['shared'][1:], requests['shared_done'][0],
            requests['copy'], *requests['old'], requests['none'],
            requests['same_line']]:
        yield REQUEST, id_, 'merge_id'
    for id_ in [
            *requests['shared_done'], requests['done'], requests['twice'],
            requests['both'], requests['unread'], requests['old'][0],
            requests['none'], requests['lost']]:
        yield REQUEST, id_, 'worklist_status'
    yield REQUEST, requests['same_line'], 'request_line'
    yield RESULT, results['first'], 'request'
    yield RESULT, results['both'][1], 'request'
    yield EXAM, made['exams']['same_code'], 'code'
    for name in ['default', 'typo', 'json', 'unsafe']:
        yield TEMPLATE, made['templates'][name], 'charset'
    # The dump that 5.0.4 shipped has kinds of values that DICOM has not.
    for name in ['default', 'typo', 'blank']:
        yield TEMPLATE, made['templates'][name], 'template'
    for name, column in [
            ('branch', 'domain'), ('branch', 'proxy_domain'),
            ('unused', 'domain'), ('odd', 'domain')]:
        yield SERVER, made['servers'][name], column
    yield STUDY, studies['two_persons'], 'orthanc_UID'
    # Merged rows, and what they had.
    for row, kept in [('first', 'second'),
            ('conflict_second', 'conflict_first')]:
        yield STUDY, studies[row], None
        yield SERIES, series[row], 'study'
    yield STUDY, studies['second'], 'notes'
    yield SERIES, series['once'], None
    yield SERIES, series['first_too'], None
    yield INSTANCE, instances['once'][0], 'series'
    yield INSTANCE, instances['once'][1], 'series'
    yield INSTANCE, instances['twice'][0], None
    yield INSTANCE, instances['again'], None
    for id_ in instances['first_too']:
        yield INSTANCE, id_, 'series'
    for id_ in instances['second_too'][:2]:
        yield INSTANCE, id_, None


def test_every_row_is_there_and_nothing_else_changed(upgraded, made):
    found = set(differences(upgraded.before, upgraded.after))
    positions = {d for d in found if d[2] == 'image_position_patient'}
    assert found - positions == set(expected_differences(made))


def test_requests_have_identifiers(upgraded, made):
    for row in upgraded.after[REQUEST].values():
        assert row['accession_number'] == row['request']
        assert row['step_id'] == row['request_line']


def test_requests_know_the_uid_that_they_shared(upgraded, made):
    before = upgraded.before[REQUEST]
    count = Counter(row['merge_id'] for row in before.values())
    for id_ in made['requests']['shared'] + made['requests']['old']:
        assert count[before[id_]['merge_id']] > 1
    for id_, row in upgraded.after[REQUEST].items():
        uid = before[id_]['merge_id']
        assert row['former_merge_id'] == (
            uid if uid and count[uid] > 1 else None), id_


def test_each_title_of_exams_became_a_machine(upgraded, made):
    """Which does these exams, and has their open requests."""
    exams = {
        id_: row for id_, row in upgraded.after[EXAM].items()
        if row['aetitle']}
    machines = upgraded.after[MACHINE]
    assert made['exams']['ct'] in exams and len(machines) > 1
    assert sorted(m['aetitle'] for m in machines.values()) == sorted(
        {row['aetitle'] for row in exams.values()})
    links = upgraded.after[f'{PREFIX}_exam-machine'].values()
    assert {
        (row['exam'], machines[row['machine']]['aetitle'])
        for row in links} == {
        (id_, row['aetitle']) for id_, row in exams.items()}
    for request in upgraded.after[REQUEST].values():
        exam = exams.get(request['requested_test'])
        is_open = exam and request['state'] in {'draft', 'requested'}
        machine = machines.get(request['machine'])
        assert (machine and machine['aetitle']) == (
            exam['aetitle'] if is_open else None)


def test_every_decision_is_in_the_log(upgraded, made):
    requests, studies = made['requests'], made['studies']
    for line in [
            f"gnuhealth.imaging.test {made['exams']['same_code']}: the code",
            f"gnuhealth.imaging.test.request {requests['same_line']}: the "
            "request_line",
            f"gnuhealth.imaging.test.result {made['results']['first']}: "
            "another result",
            "gnuhealth.imaging.test.request "
            f"{', '.join(map(str, requests['shared']))}: they shared a merge "
            f"id, {requests['shared'][0]} keeps it",
            "gnuhealth.imaging.test.request "
            f"{', '.join(map(str, requests['old']))}: they shared a merge "
            "id, none keeps it",
            f"gnuhealth.imaging.test.request {requests['shared_done'][1]}: "
            "it has the merge id again",
            f"gnuhealth.orthanc.config {made['servers']['again']}: the "
            f"record {made['servers']['main']} has the same address",
            "made for 2 studies of a server without a record",
            f"gnuhealth.imaging_orthanc.study {studies['second']}: merged "
            f"with {studies['first']}",
            f"gnuhealth.imaging_orthanc.study {studies['conflict_first']}: "
            f"it is linked to patient {made['patients'][4]}",
            "gnuhealth.imaging_orthanc.study_series "
            f"{made['series']['twice']}: merged with "
            f"{made['series']['once']}",
            f"1 instances of series {made['series']['linked']} were there "
            "twice",
            "gnuhealth.imaging_worklist.worklist_template "
            f"{made['templates']['typo']}: the character set",
            ]:
        assert re.search(
            f'WARNING trytond.modules.health_.* {re.escape(line)}',
            upgraded.log), line
    assert 'secret' not in upgraded.log


# What became of it

def test_studies_of_a_server_have_its_record(after, made):
    servers, studies = made['servers'], made['studies']
    for name in ['linked', 'second', 'resent_first', 'resent_second']:
        row = after(STUDY, studies[name])
        assert row['orthanc_server'] == servers['main'], name
    assert after(
        STUDY, studies['branch'])['orthanc_server'] == servers['branch']
    again = after(SERVER, servers['again'])
    assert not again['active'] and not again['validated']
    assert again['password'] == "secret of Main, again"


def test_an_unknown_server_gets_a_record_that_rests(after, made):
    studies = made['studies']
    gone = after(STUDY, studies['gone'])['orthanc_server']
    assert after(STUDY, studies['gone_again'])['orthanc_server'] == gone
    server = after(SERVER, gone)
    assert server['domain'] == 'http://gone.example:8042'
    assert not server['active'] and not server['validated']
    odd = after(STUDY, studies['odd_server'])['orthanc_server']
    assert after(SERVER, odd)['domain'] == 'my old pacs'


def test_servers_go_on_where_they_were(after, made):
    main = after(SERVER, made['servers']['main'])
    assert main['last_changed_index'] == 4711
    assert main['validated'] and main['active'] and main['verify_tls']
    assert main['password'] == "secret of Main"


def test_links_are_kept_as_those_of_a_person(upgraded, after, made):
    for id_, before in upgraded.before[STUDY].items():
        row = upgraded.after[STUDY].get(id_)
        if not row or row['review_code']:
            continue
        is_linked = row['patient'] or row['imaging_test']
        assert row['link_state'] == ('linked' if is_linked else 'unlinked')
        assert row['link_rule'] == ('person' if is_linked else None)
    requests, studies = made['requests'], made['studies']
    for name, request in [
            ('linked', requests['done']),
            ('shared', requests['shared_done'][1]),
            ('early', requests['waiting']),
            ('patient', None)]:
        assert after(STUDY, studies[name])['request'] == request, name


def test_a_shared_uid_stays_with_its_images(upgraded, after, made):
    for name in ['linked', 'shared', 'early']:
        study = after(STUDY, made['studies'][name])
        request = after(REQUEST, study['request'])
        assert request['merge_id'] == study['study_instance_UID']
    uids = [r['merge_id'] for r in upgraded.after[REQUEST].values()]
    assert None not in uids and len(uids) == len(set(uids))


def test_rows_of_one_study_are_merged(upgraded, after, made):
    study = after(STUDY, made['studies']['second'])
    assert study['patient'] == made['patients'][2]
    assert study['notes'] == "Notes of the second\nNotes of the first"
    assert study['merge_comment'] == "Second"
    assert after('ir_attachment', made['study_attachment'])['resource'] == (
        f"gnuhealth.imaging_orthanc.study,{study['id']}")
    series = {
        s['series_UID']: s['id'] for s in upgraded.after[SERIES].values()
        if s['study'] == study['id']}
    assert len(series) == 3
    instances = [
        i['sop_instance_UID'] for i in upgraded.after[INSTANCE].values()
        if i['series'] == series['1.2.3.7.1']]
    assert sorted(instances) == [f'1.2.3.7.1.{n}' for n in [1, 2, 3]]
    assert after(SERIES, series['1.2.3.7.1'])['notes'] == "Sharp"
    assert (study['number_of_series'], study['number_of_instances']) == (3, 9)


def test_the_record_of_one_person_shows_no_images_of_another(after, made):
    row = after(STUDY, made['studies']['two_persons'])
    assert row['orthanc_UID'] == orthanc_id(
        row['patient_id'], row['study_instance_UID'])
    assert row['patient'] == made['patients'][0]


def test_contradicting_links_are_reviewed(after, made):
    study = after(STUDY, made['studies']['conflict_first'])
    assert study['patient'] == made['patients'][4]
    assert study['link_state'] == 'review'
    assert study['review_code'] == 'linked_twice'
    assert json.loads(study['review_parameters']) == {'patient': 'PAT123455'}


def test_new_columns_are_filled(upgraded, after, made):
    studies = made['studies']
    study = after(STUDY, studies['linked'])
    assert str(study['study_date']) == '2026-01-16'
    assert study['modalities'] == 'CT, SR'
    assert study['number_of_series'] == 2
    assert study['number_of_instances'] == 3
    assert study['referring_physician_name'] == 'CORDARA^MARCELA'
    for name in ['nobody', 'odd_date', 'no_date']:
        assert after(STUDY, studies[name])['study_date'] is None
    for row in upgraded.after[STUDY].values():
        assert row['number_of_instances'] is not None
    for row in upgraded.after[SERIES].values():
        assert row['number_of_instances'] is not None


def test_pictures_are_of_studies(upgraded, made):
    "They were called after their SOP Instance UID, without an extension."
    found = {
        id_: row['imaging_study']
        for id_, row in upgraded.after['ir_attachment'].items()
        if row['imaging_study']}
    assert found == {
        made['pictures']['linked']: made['studies']['linked'],
        made['pictures']['real']: made['real_studies'][0]}


def test_each_request_has_one_result(upgraded, after, made):
    requests, results = made['requests'], made['results']
    assert after(RESULT, results['second'])['request'] == requests['twice']
    assert after(RESULT, results['first'])['order'] == (
        after(REQUEST, requests['twice'])['request'])
    assert after(RESULT, results['first'])['former_request'] == (
        requests['twice'])
    assert after(RESULT, results['both'][0])['request'] == requests['both']
    assert after(RESULT, results['both'][1])['former_request'] == (
        requests['both'])
    others = {
        id_ for id_, row in upgraded.after[RESULT].items()
        if row['former_request']}
    assert others == {results['first'], results['both'][1]}
    states = {
        name: after(RESULT, results[name])['state']
        for name in ['read', 'first', 'second', 'unread', 'lost']}
    assert states == {
        'read': 'final', 'first': 'draft', 'second': 'final',
        'unread': 'draft', 'lost': 'draft'}
    assert after(RESULT, results['read'])['signed_by'] is None


def reporters(copy):
    "Return the logins of those who are in Health Imaging Reporting."
    return {login for login, in execute(copy,
            'SELECT u.login FROM res_user u '
            'JOIN "res_user-res_group" m ON m."user" = u.id '
            'JOIN ir_model_data d ON d.db_id = m."group" '
            "WHERE d.model = 'res.group' "
            "AND d.fs_id = 'group_health_imaging_reporting'")}


def test_who_reported_goes_on(upgraded):
    "Who is in Health Imaging, and a health professional."
    assert reporters(upgraded.copy) == {'radiologist', 'admin'}
    assert "in Health Imaging Reporting are now the users radiologist" in (
        upgraded.log)


def test_the_guide_finds_who_wrote_results(upgraded):
    "The doctor, who is not in Health Imaging."
    guide = (ROOT / 'doc/upgrade.rst').read_text(encoding='utf-8')
    query, = re.findall(
        r'\.\. code-block:: sql\n\n(.*?;)\n', guide, re.DOTALL)
    rows = execute(upgraded.copy, query)
    assert [(login, count) for login, count, _ in rows] == [
        ('doctor', sum(bool(r['comment'])
            for r in upgraded.before[RESULT].values()))]


def test_done_requests_are_not_told_again(upgraded):
    for row in upgraded.after[REQUEST].values():
        assert row['state'] != 'done' or row['worklist_status'] == 'done'


def test_what_the_hospital_changed_stays(upgraded, after, made):
    schedules = [
        row for row in upgraded.after['ir_cron'].values()
        if row['method'] == 'gnuhealth.orthanc.config|sync']
    assert [(r['id'], r['interval_number']) for r in schedules] == [
        (made['cron'], 7)]
    access, = [
        row['db_id'] for row in upgraded.after['ir_model_data'].values()
        if row['fs_id'] == 'access_health_imaging_test_doctor']
    assert after('ir_model_access', access)['perm_write']
    assert after('ir_model_access', made['access'])['perm_read']
    assert after('ir_translation', made['words'])['value'] == (
        "Radio du thorax")
    menus = [
        row['menu'] for row in upgraded.after['ir_ui_menu-res_group'].values()
        if row['group'] == made['group']]
    assert len(menus) == 1


def test_the_look_of_the_hospital_stays(upgraded, after, made, opened):
    from trytond.pool import Pool
    for table, id_ in [
            ('ir_action_report', made['report']),
            ('ir_ui_view', made['view']), ('res_user', made['guest'])]:
        before, now = upgraded.before[table][id_], after(table, id_)
        for name in ['report_content_custom', 'name', 'data', 'active']:
            assert now.get(name) == before.get(name), (table, name)
    with opened(upgraded.copy):
        view = Pool().get('ir.ui.view')(made['view'])
        arch = Pool().get(view.model).fields_view_get(
            view_id=view.inherit.id)['arch']
        assert '<field name="create_date"' in arch


def test_shipped_records_are_those_of_a_new_database(
        upgraded, make_database):
    new = make_database(seeded=False)
    names = ', '.join(f"'{name}'" for name in MODULES)
    shipped = ("SELECT module, fs_id, model, noupdate FROM ir_model_data "
        f"WHERE module IN ({names}) ORDER BY 1, 2")
    assert execute(upgraded.copy, shipped) == execute(new, shipped)


# It works

def test_every_row_can_be_read(upgraded, opened):
    with opened(upgraded.copy):
        assert len(read_everything()) > 12


def test_every_view_opens(upgraded, opened):
    from trytond.pool import Pool
    with opened(upgraded.copy):
        views = Pool().get('ir.ui.view').search([
                ('module', 'in', MODULES), ('model', '!=', None)])
        assert len(views) > 20
        for view in views:
            Pool().get(view.model).fields_view_get(view_id=(
                    view.inherit.id if view.inherit else view.id))


def test_names_keep_their_translations(upgraded, opened, made):
    from trytond.pool import Pool
    from trytond.transaction import Transaction
    with opened(upgraded.copy):
        Exam = Pool().get('gnuhealth.imaging.test')
        with Transaction().set_context(language='es'):
            assert Exam(made['exams']['ct']).name == "TAC de cráneo"
        with Transaction().set_context(language='fr'):
            assert Exam(made['exams']['xray']).name == "Radio du thorax"


def test_numbers_go_on(upgraded, opened, made):
    from trytond.pool import Pool
    with opened(upgraded.copy):
        Request = Pool().get('gnuhealth.imaging.test.request')
        Result = Pool().get('gnuhealth.imaging.test.result')
        last = max(r.request for r in Request.search([]))
        request, = Request.create([{
                    'patient': made['patients'][0],
                    'requested_test': made['exams']['us'],
                    'doctor': made['doctors'][0],
                    'date': dt.datetime(2026, 2, 1, 9)}])
        assert request.request == f'RX{int(last[2:]) + 1:05}'
        last = max(r.number for r in Result.search([]))
        Request.requested([request])
        result, = Request.make_results([request])
        assert result.number == f'RES{int(last[3:]) + 1:05}'


def test_worklist_goes_on(upgraded, opened, made):
    from trytond.pool import Pool
    requests = made['requests']
    with opened(upgraded.copy):
        Request = Pool().get('gnuhealth.imaging.test.request')
        entries = {
            e['id']: e for e in Request.get_worklist_entries()['entries']}
        assert set(entries) == {
            requests['waiting'], *requests['shared'], *requests['old'][1:]}
        for entry in entries.values():
            assert entry['error'] is None
            assert entry['study_instance_uid'].encode() in entry['dicom']
        # Latin 1 has no letters for the names of two patients.
        notes = Request.get_worklist_note(
            Request.browse(list(entries)), 'worklist_note')
        assert {i for i, note in notes.items() if note} == {
            requests['shared'][1], *requests['old'][1:]}
        # The old default template, whose charset had the typo.
        chinese = entries[requests['shared'][0]]
        assert chinese['charset'] == 'ISO_IR 192'
        assert '陈'.encode() in bytes(chinese['dicom'])


def test_a_result_made_now_finds_the_images_of_before(
        upgraded, opened, made):
    from trytond.pool import Pool
    with opened(upgraded.copy):
        Request = Pool().get('gnuhealth.imaging.test.request')
        result, = Request.make_results(
            [Request(made['requests']['waiting'])])
        assert [s.id for s in result.orthanc_studies] == [
            made['studies']['early']]


def test_passwords_are_not_read_any_more(upgraded, opened, made):
    from trytond.pool import Pool
    with opened(upgraded.copy):
        Server = Pool().get('gnuhealth.orthanc.config')
        values, = Server.read(
            [made['servers']['main']], list(Server._fields))
        assert values['password'] and 'secret' not in str(values)


def test_synchronization_goes_on(upgraded, opened, tmp_path, made):
    "The server that 5.0.4 synchronized has another address."
    from trytond.pool import Pool
    copy = upgraded.another()
    with releases.filled_orthanc(tmp_path) as orthanc:
        execute(copy, f'UPDATE "{SERVER}" SET domain = ? WHERE id = ?',
            orthanc.url, made['servers']['real'])
        before = releases.snapshot(copy, STUDY, SERIES, INSTANCE)
        releases.store(orthanc, ['rtplan.dcm'])
        with opened(copy):
            Server = Pool().get('gnuhealth.orthanc.config')
            run = Server.sync_server(Server(made['servers']['real']))
            run = Pool().get('gnuhealth.orthanc.sync_run')(run)
            assert (run.state, run.error) == ('done', None)
    after = releases.snapshot(copy, STUDY, SERIES, INSTANCE)
    new = after[STUDY].keys() - before[STUDY].keys()
    assert len(new) == 1 and before[STUDY].keys() <= after[STUDY].keys()
    linked = after[STUDY][made['real_studies'][0]]
    for name, value in [
            ('patient', made['patients'][0]), ('link_rule', 'person'),
            ('imaging_test', made['results']['unread']),
            ('notes', "As discussed."), ('merge_comment', "Chosen by hand"),
            ('missing_since', None)]:
        assert linked[name] == value
    for table in [SERIES, INSTANCE]:
        assert before[table].keys() <= after[table].keys()


# Again, and half-way

def change_schedules(copy, rows):
    "Let an administrator change and stop the schedules of the module."
    schedules = [
        row for row in rows.values() if row['method'] in {
            'gnuhealth.orthanc.config|sync',
            'gnuhealth.orthanc.config|full_sync'}]
    assert len(schedules) == 2
    for row in schedules:
        row['interval_number'] = 11
        row['active'] = not row['active']
        execute(copy, 'UPDATE ir_cron SET interval_number = ?, active = ? '
            'WHERE id = ?', row['interval_number'], row['active'], row['id'])


def take_out_of_reporting(copy):
    "Let an administrator take out of the group who was put in."
    execute(copy, f'DELETE FROM "{MEMBER}" WHERE "group" = ('
        "SELECT db_id FROM ir_model_data WHERE model = 'res.group' "
        "AND fs_id = 'group_health_imaging_reporting')")


def test_a_second_upgrade_changes_nothing(upgraded):
    "Who was taken out of reporting stays out, schedules stay as they are."
    copy = upgraded.copy
    change_schedules(copy, upgraded.after['ir_cron'])
    take_out_of_reporting(copy)
    upgraded.after.update(releases.snapshot(copy, MEMBER))
    _, log = releases.upgrade(copy)
    assert not re.search(r'trytond\.modules\.health_\S*migration', re.sub(
            r'.*its address is not valid.*', '', log))
    again = releases.snapshot(copy)
    for table, rows in upgraded.after.items():
        # What trytond itself writes each time.
        if table not in {
                    'ir_avatar_cache', 'ir_cache', 'ir_lang'}:
            assert untimed(again[table]) == untimed(rows), table
    assert not reporters(copy)


@pytest.mark.postgresql
def test_constraints_hold(upgraded):
    import psycopg2
    copy = upgraded.copy
    for table, columns in [
            (REQUEST, ['merge_id']), (REQUEST, ['request_line']),
            (RESULT, ['request']), (EXAM, ['code']),
            (STUDY, ['orthanc_server', 'orthanc_UID']),
            (SERIES, ['study', 'series_UID']),
            (INSTANCE, ['series', 'sop_instance_UID']),
            (SERVER, ['domain']), (SERVER, ['label'])]:
        rows = [
            r for r in upgraded.after[table].values()
            if all(r[c] for c in columns) and r.get('active') is not False]
        values = [rows[0][c] for c in columns]
        sets = ', '.join(f'"{c}" = ?' for c in columns)
        with pytest.raises(psycopg2.IntegrityError):
            execute(copy, f'UPDATE "{table}" SET {sets} WHERE id = ?',
                *values, rows[1]['id'])


@pytest.mark.postgresql
def test_no_old_constraint_is_left(upgraded, opened):
    from trytond.model import ModelSQL
    from trytond.pool import Pool
    with opened(upgraded.copy):
        required, unique = set(), set()
        for _, Model in Pool().iterobject():
            if issubclass(Model, ModelSQL) and not Model.table_query:
                required |= {
                    (Model._table, name)
                    for name, field in Model._fields.items()
                    if field.required or name == 'id'}
                unique |= {
                    f'{Model._table}_{name}'
                    for name, _, _ in Model._sql_constraints}
    for table, column in execute(upgraded.copy,
            "SELECT table_name, column_name FROM information_schema.columns "
            "WHERE is_nullable = 'NO' AND table_schema = 'public' "
            "AND table_name LIKE 'gnuhealth_%%'"):
        if re.match('gnuhealth_(imaging|orthanc)', table):
            assert (table, column) in required
    for name, in execute(upgraded.copy,
            "SELECT conname FROM pg_constraint WHERE contype IN ('u', 'x') "
            "AND conname LIKE 'gnuhealth_%%'"):
        # Former studies are only read.
        if (re.match('gnuhealth_(imaging|orthanc)', name)
                and name != 'gnuhealth_orthanc_study_uuid_unique'):
            assert any(known.startswith(name[:50]) for known in unique), name


def break_deletions(copy, table):
    "Let deletions fail, and return what repairs them."
    if copy.uri.startswith('sqlite'):
        execute(copy, f'CREATE TRIGGER fail BEFORE DELETE ON "{table}" '
            "BEGIN SELECT RAISE(ABORT, 'disk on fire'); END")
        return 'DROP TRIGGER fail'
    execute(copy, f"""
        CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN RAISE EXCEPTION 'disk on fire'; END $$;
        CREATE TRIGGER fail BEFORE DELETE ON "{table}"
        EXECUTE FUNCTION fail()""")
    return f'DROP TRIGGER fail ON "{table}"'


def test_a_failure_rolls_back(upgraded, database_504):
    copy = database_504()
    tables = [STUDY, SERIES, INSTANCE, SERVER]
    before = releases.snapshot(copy, *tables)
    repair = break_deletions(copy, INSTANCE)
    status, log = releases.upgrade(copy, check=False)
    assert status and 'disk on fire' in log
    assert releases.snapshot(copy, *tables) == before
    execute(copy, repair)
    releases.upgrade(copy)
    after = releases.snapshot(copy, *tables)
    for table in tables[:3]:
        assert normal(after, table) == normal(upgraded.after, table)


def normal(tables, name):
    "Return the rows of a table without what differs from run to run."
    domains = {id_: row['domain'] for id_, row in tables[SERVER].items()}
    rows = untimed(tables[name])
    for row in rows.values():
        row['orthanc_server'] = domains.get(row.get('orthanc_server'))
    return rows
