# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What asking a PACS costs others: the database, the lists of people who did
not ask, the network, and the PACS itself."""
import time
from contextlib import closing

import pytest
from support.fault_server import hang
from support.hospitals import with_pacs
from support.images import (
    INSTANCE, SERIES, STUDY, Preview, context_of, ct_series)
from support.records import RpcError

from trytond import backend
from trytond.modules.health_orthanc import encapsulated_report, gallery
from trytond.modules.health_orthanc.archive.session import Session
from trytond.modules.health_orthanc.connection import connections
from trytond.pool import Pool
from trytond.transaction import Transaction, without_check_access

hospital = with_pacs

UPLOAD = 'gnuhealth.imaging_orthanc.upload_image_data'
DELETE = 'gnuhealth.imaging_orthanc.delete'
ADD = 'gnuhealth.imaging_orthanc.wizard.orthanc_new_connect'
SERVER = 'gnuhealth.orthanc.config'
RESULT = 'gnuhealth.imaging.test.result'
REPORT = 'gnuhealth.orthanc.report'


@pytest.fixture(autouse=True)
def calm(hospital):
    hospital.faults.clear()
    gallery.cache.clear()
    connections.close()


def is_open(connection):
    """Return whether a connection has a transaction, on PostgreSQL as others
    see it; on SQLite only one in which something is written."""
    if backend.name == 'sqlite':
        return connection.in_transaction
    database = Transaction().database
    other = database.get_connection(autocommit=True)
    try:
        with closing(other.cursor()) as cursor:
            cursor.execute(
                'SELECT state FROM pg_stat_activity WHERE pid = %s',
                (connection.info.backend_pid,))
            (state,), = cursor.fetchall()
    finally:
        database.put_connection(other)
    return state != 'idle'


@pytest.fixture
def asked(monkeypatch):
    """What PACS are asked for, list of method, path and whether a transaction
    was open."""
    calls, request = [], Session.request

    def watched(self, method, path, *args, **kwargs):
        connection = Transaction().connection
        calls.append((method, path, bool(
                    connection and is_open(connection))))
        return request(self, method, path, *args, **kwargs)
    monkeypatch.setattr(Session, 'request', watched)
    return calls


def upload(hospital, file):
    return hospital.rpc('radiologist').run_wizard(UPLOAD, [
            ('start', {}),
            ('upload', {'start': {
                        'data_to_upload': file, 'file_name': 'x',
                        'server_config': hospital.server}}),
            ])['view']['defaults']


def test_no_transaction_is_open_while_a_pacs_is_asked(
        hospital, asked, monkeypatch):
    monkeypatch.setattr(
        encapsulated_report.StoredReport, '_render',
        lambda self: b'%PDF-1.4\n')
    study = hospital.store(*ct_series(3))
    result, (one, two, three) = hospital.link(study), hospital.instances(study)
    rpc, keeper = hospital.rpc('radiologist'), hospital.rpc('keeper')

    def preview():
        clicks = Preview(hospital, 'radiologist', STUDY, study)
        clicks.click('next_')
        # This writes, and what it wrote stays although the next picture ends
        # the transaction.
        gallery.cache.clear()
        clicks.click('attach')
        assert clicks.picture
        assert hospital.log(study=study, action='attach')

    def read(*names, method='read'):
        rpc(f'model.{INSTANCE}.{method}', [one, two], ['rec_name', *names])

    def protect():
        with hospital.transaction():
            Server = Pool().get(SERVER)
            Server.write([Server(hospital.server)], {
                    'store_reports': True, 'protect_linked': True})
        hospital.sync(full=True)

    def delete():
        series, = hospital.series(hospital.store(*ct_series(1)))
        keeper.run_wizard(DELETE, [
                ('start', {}), ('remove', {'start': {'reason': "Test"}}),
                ], **context_of(SERIES, series))

    for ways in [
            preview,
            lambda: read('image', 'no_image'),
            lambda: read('thumbnail', 'no_image'),
            lambda: read('image', method='export_data'),
            lambda: rpc(
                f'model.{INSTANCE}.attach_image_to_imaging_test_report',
                [three]),
            lambda: upload(hospital, ct_series(1)[0]),
            lambda: keeper(f'model.{SERVER}.test_connection',
                [hospital.server]),
            lambda: keeper.run_wizard(ADD, [('connect', {'start': {
                                'label': "Other", 'user': 'x',
                                'domain': hospital.orthanc.url,
                                'password': 'x'}})]),
            protect,
            lambda: rpc(f'model.{RESULT}.finalize', [result]),
            delete]:
        gallery.cache.clear()
        asked.clear()
        ways()
        assert asked
        assert not [call for call in asked if call[-1]]
    id_, = hospital.ids(REPORT, [('result', '=', result)])
    assert hospital.read(REPORT, id_, 'state')['state'] == 'stored'
    with hospital.transaction():
        Server = Pool().get(SERVER)
        Server.write([Server(hospital.server)], {
                'store_reports': False, 'protect_linked': False})


def test_no_getter_asks_a_pacs(hospital, asked):
    study = hospital.store(*ct_series(1))
    instances = hospital.instances(study)
    asked.clear()
    with hospital.transaction('radiologist'):
        instance, = Pool().get(INSTANCE).browse(instances)
        assert (instance.image, instance.thumbnail) == (None, None)
    assert not asked
    assert not hospital.log(study=study)


def test_a_hanging_pacs_holds_up_neither_list_nor_form(hospital, monkeypatch):
    monkeypatch.setattr(gallery, 'SILENCE', 0.5)
    monkeypatch.setattr(gallery, 'PATIENCE', 0.2)
    instances = hospital.instances(hospital.store(*ct_series(4)))
    with hospital.transaction():
        Server = Pool().get(SERVER)
        Server.write([Server(hospital.server)], {'read_timeout': 60})
    hospital.faults.on('/instances/', hang())
    rpc, start = hospital.rpc('radiologist'), time.monotonic()
    for names in [
            ['thumbnail', 'no_image'], ['image', 'no_image'], ['thumbnail']]:
        rows = rpc(f'model.{INSTANCE}.read', instances,
            ['instance_number', *names])
        assert {r['instance_number'] for r in rows} == {1, 2, 3, 4}
        assert not any(r.get('image') or r.get('thumbnail') for r in rows)
        if 'no_image' in names:
            assert all("PACS" in r['no_image'] for r in rows)
    # Not 15: what both may take in all.
    assert time.monotonic() - start < 10
    assert hospital.faults.count('/instances/') == 1
    with hospital.transaction():
        Server = Pool().get(SERVER)
        Server.write([Server(hospital.server)], {'read_timeout': 2})


def test_connections_are_kept_from_click_to_click(hospital):
    study = hospital.store(*ct_series(6))
    connections.close()
    before = hospital.faults.accepted
    clicks = Preview(hospital, 'radiologist', STUDY, study)
    for _ in range(5):
        clicks.click('next_')
    assert clicks.values['position'] == "Image 6 of 6"
    assert hospital.faults.accepted - before == 1
    # Whoever asks with another password gets another one.
    with hospital.transaction():
        Server = Pool().get(SERVER)
        Server.write([Server(hospital.server)], {
                'user': 'nobody', 'validated': True})
    gallery.cache.clear()
    clicks.click('again')
    assert not clicks.picture
    assert hospital.faults.accepted - before == 2
    with hospital.transaction():
        Server = Pool().get(SERVER)
        Server.write([Server(hospital.server)], {
                'user': hospital.orthanc.user, 'validated': True})
    gallery.cache.clear()
    clicks.click('again')
    assert clicks.picture


def test_the_picture_is_not_sent_back(hospital):
    clicks = Preview(
        hospital, 'radiologist', STUDY, hospital.store(*ct_series(2)))
    for state in ['next_', 'previous', 'again']:
        clicks.click(state)
        assert len(clicks.picture) > 5000
        assert clicks.sent[-1] < 200


def test_an_upload_fetches_its_own_studies_only(hospital, asked):
    hospital.sync()
    others, = ct_series(1)
    with hospital.client() as client:
        other = client.upload(others)[0].study
    asked.clear()
    uploaded = upload(hospital, ct_series(1)[0])
    assert len(uploaded['studies']) == 1
    assert not hospital.ids(STUDY, [('orthanc_UID', '=', other)])
    paths = [path for _, path, _ in asked]
    assert not [p for p in paths if 'changes' in p or 'statistics' in p]
    assert len(paths) <= 5
    # The next run fetches the rest, and does not compare everything.
    asked.clear()
    assert hospital.sync() == 'done'
    assert hospital.ids(STUDY, [('orthanc_UID', '=', other)])
    assert '/studies' not in [path for _, path, _ in asked]
    asked.clear()
    assert hospital.sync() == 'done'
    assert len(asked) <= 3


def test_an_upload_does_not_store_the_reports_that_wait(
        hospital, monkeypatch):
    monkeypatch.setattr(
        encapsulated_report.StoredReport, '_render',
        lambda self: b'%PDF-1.4\n')
    with hospital.transaction():
        Server = Pool().get(SERVER)
        Server.write([Server(hospital.server)], {'store_reports': True})
    study = hospital.store(*ct_series(1))
    result = hospital.link(study)
    with hospital.faults.refusing():
        hospital.rpc('radiologist')(f'model.{RESULT}.finalize', [result])
    id_, = hospital.ids(REPORT, [('result', '=', result)])
    assert upload(hospital, ct_series(1)[0])['studies']
    assert hospital.read(REPORT, id_, 'state')['state'] == 'waiting'
    hospital.sync()
    assert hospital.read(REPORT, id_, 'state')['state'] == 'stored'
    with hospital.transaction():
        Server = Pool().get(SERVER)
        Server.write([Server(hospital.server)], {'store_reports': False})


def test_a_result_is_signed_while_a_picture_for_it_is_fetched(
        hospital, monkeypatch):
    study = hospital.store(*ct_series(1))
    result, instances = hospital.link(study), hospital.instances(study)
    close = gallery._Gallery.close

    def sign(self):
        close(self)
        with Transaction().new_transaction(), without_check_access(), \
                Transaction().set_context(_skip_warnings=True):
            Result = Pool().get(RESULT)
            Result.finalize([Result(result)])
    monkeypatch.setattr(gallery._Gallery, 'close', sign)
    with pytest.raises(RpcError, match="signed"):
        hospital.rpc('radiologist')(
            f'model.{INSTANCE}.attach_image_to_imaging_test_report', instances)
    assert not hospital.log(study=study, action='attach')
