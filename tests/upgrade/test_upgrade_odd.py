# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rows that 5.0.4 should not have, but that its databases hold after years of
imports, repairs by hand and failed constraints: the upgrade copes."""
import json

import pytest
from support import releases
from support.releases import execute, read_everything, untimed

SERVER = 'gnuhealth_orthanc_config'
STUDY = 'gnuhealth_imaging_orthanc_study'
SERIES = 'gnuhealth_imaging_orthanc_study_series'
INSTANCE = 'gnuhealth_imaging_orthanc_series_instances'
REQUEST = 'gnuhealth_imaging_test_request'
RESULT = 'gnuhealth_imaging_test_result'
TEMPLATE = 'gnuhealth_imaging_worklist_worklist_template'
OWN = [SERVER, STUDY, SERIES, INSTANCE, REQUEST, RESULT, TEMPLATE]
# Models of which some rows point to nothing.
ORPHANED = [
    'gnuhealth.imaging_orthanc.study', 'gnuhealth.imaging.test.result',
    'gnuhealth.imaging_orthanc.study_series',
    'gnuhealth.imaging_orthanc.series_instances', 'gnuhealth.orthanc.study']
MAIN = 'http://pacs.example:8042'
# What stands for the main server as well.
SPELLINGS = [
    'pacs.example:8042', 'HTTP://pacs.example:8042//',
    ' http://pacs.example:08042 ', 'http://orthanc:secret@PACS.example:8042']


def change(copy, table, id_, **values):
    columns = ', '.join(f'"{name}" = ?' for name in values)
    execute(copy, f'UPDATE "{table}" SET {columns} WHERE id = ?',
        *values.values(), id_)


def insert_like(copy, table, id_, **values):
    "Insert a row like another one, and return its id."
    row = releases.snapshot(copy, table)[table][id_]
    row = {**row, **values}
    del row['id']
    names = ', '.join(f'"{name}"' for name in row)
    marks = ', '.join('?' for _ in row)
    execute(copy,
        f'INSERT INTO "{table}" ({names}) VALUES ({marks})', *row.values())
    return execute(copy, f'SELECT MAX(id) FROM "{table}"')[0][0]


def odd_requests(copy, made):
    requests = made['requests']
    change(copy, REQUEST, requests['draft'], merge_id='', urgent=None,
        state=None, request=None, request_line=None, worklist_status='')
    for name in ['unread', 'canceled', 'line']:
        change(copy, REQUEST, requests[name], merge_id='', request_line='')
    # The numbers of a sequence with a long prefix.
    for n, name in enumerate(['shared', 'shared_done', 'old']):
        for rank, id_ in enumerate(requests[name], 1):
            order = f'RADIOLOGY-2019-{n:03}'
            change(copy, REQUEST, id_, request=order,
                request_line=f'{order}-{rank:02}')
    change(copy, RESULT, made['results']['unread'], number=None, order=None,
        patient=None, request_date=None, comment=None)


def odd_servers(copy, made):
    for n, spelling in enumerate(SPELLINGS):
        made['servers'][spelling] = insert_like(
            copy, SERVER, made['servers']['main'], domain=spelling,
            label=f'{n}', validated=None, last_changed_index=None)
        made['studies'][spelling] = insert_like(
            copy, STUDY, made['studies']['linked'], server=spelling,
            notes=f'Notes {n} 🩻', patient=None, imaging_test=None)
    change(copy, SERVER, made['servers']['odd'],
        domain='me:secret@no address')
    # Their names are those that a server without a record would get.
    for name, label in [
            ('branch', 'http://gone.example:8042'),
            ('unused', 'http://gone.example:8042 ?')]:
        change(copy, SERVER, made['servers'][name], label=label)


def odd_studies(copy, made):
    studies = made['studies']
    if not copy.uri.startswith('sqlite'):
        execute(copy,
            f'ALTER TABLE "{STUDY}" ALTER COLUMN server DROP NOT NULL')
    change(copy, STUDY, studies['no_date'], server=None, patient_id=None)
    change(copy, STUDY, studies['odd_date'], server='', date='not known',
        institution='')
    change(copy, STUDY, studies['odd_server'],
        server='http://me:secret@my.example/?a=1#b')
    change(copy, INSTANCE, made['instances']['linked'][0],
        instance_number=None, image_position_patient='')
    change(copy, INSTANCE, made['instances']['linked'][1],
        image_position_patient=None)
    change(copy, SERIES, made['series']['linked'], modality='',
        series_number='A', series_description=None, notes='')


def odd_templates(copy, made):
    for name, charset in [
            ('blank', ''), ('latin', 'ISO IR 100'), ('json', 'KLINGON')]:
        change(copy, TEMPLATE, made['templates'][name], charset=charset,
            template_type=None)
    change(copy, TEMPLATE, made['templates']['json'],
        template='{"00100020": {"vr": "LO", "Value": ["$PatientID"]}}')


def odd_pictures(copy, made):
    "Attachments of no result, or without a name."
    result = 'gnuhealth.imaging.test.result'
    for resource, name in [
            (f'{result},', '1.2.3.0.1.1.png'), (f'{result},-1', '1.2.3.0.1.1'),
            (f"{result},{made['results']['read']}", None)]:
        insert_like(copy, 'ir_attachment', made['pictures']['linked'],
            resource=resource, name=name)


def orphans(copy, made):
    "Rows whose parents are gone, as SQLite lets be."
    nowhere = 999999
    change(copy, INSTANCE, made['instances']['gone'][0], series=nowhere)
    change(copy, SERIES, made['series']['branch'], study=nowhere)
    change(copy, STUDY, made['studies']['nobody'], patient=nowhere,
        imaging_test=nowhere)
    change(copy, RESULT, made['results']['old'], request=nowhere)
    change(copy, 'gnuhealth_orthanc_study', made['former_studies'][1],
        patient=nowhere)
    change(copy, SERVER, made['servers']['odd'], label="Main")


@pytest.fixture(scope='module')
def odd(database_504):
    copy = database_504()
    made = copy.made = json.loads(json.dumps(database_504.made))
    for odd_rows in [odd_requests, odd_servers, odd_studies, odd_templates]:
        odd_rows(copy, made)
    if copy.uri.startswith('sqlite'):
        odd_pictures(copy, made)
        orphans(copy, made)
    copy.told = releases.doctor(copy, 'before')
    copy.before = releases.snapshot(copy)
    _, copy.log = releases.upgrade(copy)
    copy.after = releases.snapshot(copy)
    return copy


def made_server(odd, name):
    return odd.after[SERVER][odd.made['servers'][name]]


def merged(odd):
    "Return how many rows of each table are gone."
    gone = {
        name: len(odd.before[name].keys() - odd.after[name].keys())
        for name in odd.before}
    return {
        name: count for name, count in gone.items()
        if count and name.startswith('gnuhealth')}


def test_no_row_is_lost_but_those_that_are_merged(odd):
    assert merged(odd) == {STUDY: 2 + len(SPELLINGS), SERIES: 2, INSTANCE: 4}


def test_the_doctor_counts_them(odd):
    assert odd.told.returncode == 0, odd.told
    assert 'secret' not in odd.told.stdout
    compared = releases.doctor(odd, 'after')
    assert compared.returncode == 0, compared.stdout
    counts = json.loads((odd.path / 'counts.json').read_text())
    assert counts['expected'] == {
        table: len(odd.after[table]) for table in [STUDY, SERIES, INSTANCE]}


def test_requests_can_go_on(odd):
    rows = {
        name: odd.after[REQUEST][id_]
        for name, id_ in odd.made['requests'].items()
        if name in {'draft', 'unread', 'canceled', 'line'}}
    assert len({row['merge_id'] for row in rows.values()} - {''}) == 4
    assert {row['request_line'] for row in rows.values()} == {None}
    assert [(row['state'], row['worklist_status']) for row in [
                rows['draft'], rows['unread'], rows['canceled']]] == [
        ('draft', 'todo'), ('done', 'done'), ('requested', 'canceled')]


def test_requests_have_identifiers_of_their_own(odd):
    rows = odd.after[REQUEST].values()
    orders = {}
    for row in rows:
        order = row['request'] or f"#{row['id']}"
        assert orders.setdefault(order, row['accession_number']) == (
            row['accession_number'])
        for number, told in [
                (row['request'], row['accession_number']),
                (row['request_line'], row['step_id'])]:
            assert 0 < len(told) <= 16
            assert told == number or not number or len(number) > 16
    assert len(set(orders.values())) == len(orders)
    assert len({row['step_id'] for row in rows}) == len(rows)
    assert "their numbers are too long for modalities" in odd.log


def test_every_spelling_is_one_server(odd):
    main = odd.made['servers']['main']
    for spelling in SPELLINGS:
        assert not made_server(odd, spelling)['active']
    assert odd.after[SERVER][main]['domain'] == MAIN
    study = odd.after[STUDY][odd.made['studies']['linked']]
    assert study['orthanc_server'] == main
    assert study['notes'].split('\n')[1:] == [
        f'Notes {n} 🩻' for n in range(len(SPELLINGS))]


def test_no_address_has_a_password(odd):
    assert f"{made_server(odd, 'odd')['id']}: its address is not valid" in (
        odd.log)
    assert made_server(odd, 'odd')['domain'] == 'no address'
    for row in odd.after[SERVER].values():
        assert 'secret' not in f"{row['domain']} {row['label']}"
    assert 'secret' not in odd.log
    server = odd.after[STUDY][odd.made['studies']['odd_server']][
        'orthanc_server']
    assert odd.after[SERVER][server]['domain'] == 'http://my.example/?a=1#b'


def test_every_study_has_a_server_with_a_name_of_its_own(odd):
    labels = [row['label'] for row in odd.after[SERVER].values()]
    assert len(labels) == len(set(labels))
    servers = {
        name: odd.after[SERVER][odd.after[STUDY][
                odd.made['studies'][name]]['orthanc_server']]['domain']
        for name in ['no_date', 'odd_date', 'gone']}
    assert servers == {
        'no_date': 'http://unknown.invalid',
        'odd_date': 'http://unknown.invalid',
        'gone': 'http://gone.example:8042'}


def test_templates_can_be_used(odd, opened):
    from trytond.pool import Pool
    types = {
        name: odd.after[TEMPLATE][odd.made['templates'][name]]['template_type']
        for name in ['blank', 'latin', 'json']}
    assert types == {'blank': 'dump2dcm', 'latin': 'dump2dcm', 'json': 'json'}
    assert "'KLINGON' is no character set" in odd.log
    with opened(odd):
        Request = Pool().get('gnuhealth.imaging.test.request')
        entries = Request.get_worklist_entries()['entries']
        assert [e for e in entries if e['dicom']]
        for entry in entries:
            assert entry['dicom'] or entry['error']


def test_every_row_can_be_read(odd, opened):
    with opened(odd):
        assert len(read_everything(ORPHANED)) > 12


def test_a_second_upgrade_changes_nothing(odd):
    releases.upgrade(odd)
    again = releases.snapshot(odd, *OWN)
    for table in OWN:
        assert untimed(again[table]) == untimed(
            odd.after[table]), table
