# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What asking a PACS costs others: the database, the lists of people who did
not ask, the network, and the PACS itself."""
import io
import time
import zipfile
from contextlib import closing

import pytest
from support.fault_server import hang
from support.hospitals import with_pacs
from support.images import (
    INSTANCE, SERIES, STUDY, Preview, context_of, ct_series)
from support.records import RpcError
from support.synchronizing import with_queue

from trytond import backend
from trytond.modules.health_orthanc import encapsulated_report, gallery
from trytond.modules.health_orthanc.connection import connections
from trytond.pool import Pool
from trytond.transaction import Transaction, without_check_access

hospital = with_pacs
# It says which transactions are open.
pytestmark = pytest.mark.postgresql

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


@pytest.fixture
def asked(hospital):
    """What the PACS is asked for, list of method, path and whether somebody
    has a transaction open meanwhile, and does nothing with it."""
    from trytond.tests.test_tryton import DB_NAME
    calls, database = [], backend.Database(DB_NAME)
    connection = database.get_connection(autocommit=True)

    def is_held():
        with closing(connection.cursor()) as cursor:
            while True:
                cursor.execute(
                    "SELECT clock_timestamp() - state_change > '1 s' "
                    'FROM pg_stat_activity '
                    'WHERE datname = current_database() '
                    "AND state LIKE 'idle in %'")
                idle = {is_long for is_long, in cursor.fetchall()}
                if not idle or True in idle:
                    return bool(idle)
                time.sleep(0.01)

    def think(exchange):
        calls.append((exchange.call.method, exchange.call.path, is_held()))
        return exchange.forward()
    hospital.faults.on('', think)
    yield calls
    database.put_connection(connection, close=True)


def upload(hospital, file):
    return hospital.rpc('radiologist').run_wizard(UPLOAD, [
            ('start', {}),
            ('upload', {'start': {
                        'data_to_upload': file, 'file_name': 'x',
                        'server_config': hospital.server}}),
            ])['view']['defaults']


@pytest.fixture(scope='module')
def study(hospital):
    "A study of three images, linked to a draft result."
    study = hospital.store(*ct_series(3))
    hospital.link(study)
    return study


def result_of(hospital, study):
    return hospital.read(STUDY, study, 'imaging_test')['imaging_test']


def look_and_attach(hospital, study):
    clicks = Preview(hospital, 'radiologist', STUDY, study)
    clicks.click('next_')
    # This writes, and what it wrote stays although the next picture ends
    # the transaction.
    gallery.cache.clear()
    clicks.click('attach')
    assert clicks.picture
    assert hospital.log(study=study, action='attach')


def read(*names, method='read'):
    return lambda hospital, study: hospital.rpc('radiologist')(
        f'model.{INSTANCE}.{method}', hospital.instances(study)[:2],
        ['rec_name', *names])


def attach(hospital, study):
    *_, last = hospital.instances(study)
    hospital.rpc('radiologist')(
        f'model.{INSTANCE}.attach_image_to_imaging_test_report', [last])


def upload_some(hospital, study):
    "The sentence on the second file is read before the third is sent."
    file = io.BytesIO()
    with zipfile.ZipFile(file, 'w') as archive:
        for name, data in zip('abc', [*ct_series(1), b'DICM' * 99, *ct_series(
                    1)]):
            archive.writestr(name, data)
    assert len(upload(hospital, file.getvalue())['studies']) == 2


def add(hospital, study):
    hospital.rpc('keeper').run_wizard(ADD, [('connect', {'start': {
                        'label': "Other", 'user': 'x', 'password': 'x',
                        'domain': hospital.faults.url.replace(
                            '127.0.0.1', 'localhost')}})])


def of_server(method):
    return lambda hospital, study: hospital.rpc('keeper')(
        f'model.{SERVER}.{method}', [hospital.server])


def task(method, *arguments):
    "What the queue or the scheduler does."
    def work(hospital, study):
        Server = Pool().get(SERVER)
        getattr(Server, method)(Server(hospital.server), *arguments)
    return lambda hospital, study: with_queue(lambda: work(hospital, study))


def protect(hospital, study):
    hospital.write_server(store_reports=True, protect_linked=True)
    hospital.sync(full=True)


def sign(hospital, study):
    result = result_of(hospital, study)
    hospital.rpc('radiologist')(f'model.{RESULT}.finalize', [result])
    id_, = hospital.ids(REPORT, [('result', '=', result)])
    assert hospital.read(REPORT, id_, 'state')['state'] == 'stored'


def store_again(hospital, study):
    report, = hospital.ids(REPORT, [('study', '=', study)])
    with hospital.transaction():
        Report = Pool().get(REPORT)
        Report.write([Report(report)], {'state': 'failed'})
    hospital.rpc('keeper')(f'model.{REPORT}.retry', [report])
    assert hospital.read(REPORT, report, 'state')['state'] == 'stored'


def delete(model, of):
    def remove(hospital, study):
        record, *_ = of(hospital, hospital.store(*ct_series(1)))
        hospital.rpc('keeper').run_wizard(DELETE, [
                ('start', {}), ('remove', {'start': {'reason': "Test"}}),
                ], **context_of(model, record))
        assert hospital.read(model, record, 'rec_name') is None
    return remove


DOORS = {
    'preview': look_and_attach,
    'image': read('image', 'no_image'),
    'thumbnail': read('thumbnail', 'no_image'),
    'export': read('image', method='export_data'),
    'attach': attach,
    'upload': upload_some,
    'test': of_server('test_connection'),
    'add': add,
    'button': of_server('do_sync'),
    'schedule': lambda hospital, study: with_queue(
        lambda: Pool().get(SERVER).sync()),
    'nightly': lambda hospital, study: with_queue(
        lambda: Pool().get(SERVER).full_sync()),
    'notice': task('sync_noticed'),
    'script': lambda hospital, study: hospital.rpc('keeper')(
        f'model.{SERVER}.sync_now', None),
    'protect': protect,
    'sign': sign,
    'store_again': store_again,
    'delete_series': delete(
        SERIES, lambda hospital, study: hospital.series(study)),
    'delete_study': delete(STUDY, lambda hospital, study: [study]),
    }


@pytest.mark.parametrize('door', DOORS)
def test_no_transaction_is_open_while_a_pacs_is_asked(
        hospital, study, asked, monkeypatch, door):
    "The doors after protect store reports."
    monkeypatch.setattr(
        encapsulated_report.StoredReport, '_render',
        lambda self: b'%PDF-1.4\n')
    DOORS[door](hospital, study)
    assert asked
    assert not [call for call in asked if call[-1]]


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
    hospital.write_server(read_timeout=60)
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
    hospital.write_server(read_timeout=2)


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
    hospital.write_server(user='nobody', validated=True)
    gallery.cache.clear()
    clicks.click('again')
    assert not clicks.picture
    assert hospital.faults.accepted - before == 2
    hospital.write_server(user=hospital.orthanc.user, validated=True)
    gallery.cache.clear()
    clicks.click('again')
    assert clicks.picture


def test_an_image_goes_while_its_series_is_looked_through(hospital):
    study = hospital.store(*ct_series(3))
    clicks = Preview(hospital, 'radiologist', STUDY, study)
    assert clicks.values['position'] == "Image 1 of 3"
    _, second, _ = hospital.instances(study)
    with hospital.client() as client:
        client.delete('instances', hospital.read(
                INSTANCE, second, 'orthanc_UID')['orthanc_UID'])
    assert hospital.sync(full=True) == 'done'
    assert len(hospital.instances(study)) == 2
    clicks.click('next_')
    assert clicks.values['position'] == "Image 2 of 2"
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
    hospital.write_server(store_reports=True)
    study = hospital.store(*ct_series(1))
    result = hospital.link(study)
    with hospital.faults.refusing():
        hospital.rpc('radiologist')(f'model.{RESULT}.finalize', [result])
    id_, = hospital.ids(REPORT, [('result', '=', result)])
    assert upload(hospital, ct_series(1)[0])['studies']
    assert hospital.read(REPORT, id_, 'state')['state'] == 'waiting'
    hospital.sync()
    assert hospital.read(REPORT, id_, 'state')['state'] == 'stored'
    hospital.write_server(store_reports=False)


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
