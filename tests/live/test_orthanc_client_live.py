# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The Orthanc client and its records on a real Orthanc with all of pydicom's
files that it accepts, and with faults between the two."""
import io
import struct
import time
import zipfile
from contextlib import ExitStack, closing, contextmanager
from importlib.util import find_spec
from pathlib import Path

import pydicom
import pytest
from services import Orthanc
from support import fault_server as faults
from support.fault_server import FaultServer

from trytond.modules.health_orthanc.archive import texts
from trytond.modules.health_orthanc.archive.orthanc import (
    BadAnswer, ConnectionLost, ConnectionRefused, NoFrame, NoPicture, NotFound,
    NotOrthanc, OrthancClient, Unauthorized, UnsupportedMedia)

FOLDERS = [
    Path(pydicom.__file__).parent / 'data',
    Path(find_spec('data_store').origin).parent,
    ]
FILES = sorted(
    path for folder in FOLDERS for path in folder.rglob('*')
    if path.is_file() and path.suffix not in {'.py', '.pyc'})
TEST_FILES = FOLDERS[0] / 'test_files'
CT = TEST_FILES / 'CT_small.dcm'
MR = TEST_FILES / 'MR_small.dcm'
MULTI_FRAME = TEST_FILES / 'examples_ybr_color.dcm'
UNKNOWN = '-'.join(['00000000'] * 5)


def client_of(orthanc, url=None, **options):
    return closing(OrthancClient(
            url or orthanc.url, orthanc.user, orthanc.password, **options))


class Archive:
    "An Orthanc with all files: what was uploaded, and what became of it."

    def __init__(self, orthanc, client):
        self.orthanc = orthanc
        self.client = client
        self.results = {
            path: self._upload(path) for path in FILES}
        self.stored = {
            result.instance: path for path, result in self.results.items()
            if result.status == 'stored'}
        self.ids = {
            level: client.ids(level) for level in [
                'patients', 'studies', 'series', 'instances']}

    def _upload(self, path):
        with open(path, 'rb') as file:
            result, = self.client.upload(file)
        return result


@contextmanager
def running(folder, **options):
    """Give an Orthanc. As nothing is kept it is killed in the end, which is
    much faster than to stop it."""
    orthanc = Orthanc(folder, **options)
    try:
        orthanc.start()
        yield orthanc
    finally:
        orthanc.kill()


@pytest.fixture(scope='module')
def archive(tmp_path_factory):
    # No study becomes stable meanwhile, so the change log stands still.
    with running(tmp_path_factory.mktemp('archive'),
            extra={'StableAge': 3600}) as orthanc:
        with client_of(orthanc) as client:
            yield Archive(orthanc, client)


@pytest.fixture(scope='module')
def shared(tmp_path_factory):
    with running(tmp_path_factory.mktemp('shared')) as orthanc:
        yield orthanc


@pytest.fixture
def make_orthanc(tmp_path):
    "Return a function that starts an Orthanc; options of services.Orthanc."
    with ExitStack() as stack:
        yield lambda **options: stack.enter_context(
            running(tmp_path / 'orthanc', **options))


@pytest.fixture
def orthanc(shared):
    "An empty Orthanc; its change log goes on from test to test."
    for patient in shared.rest('GET', '/patients'):
        shared.rest('DELETE', f'/patients/{patient}')
    return shared


@pytest.fixture
def client(orthanc):
    with client_of(orthanc) as client:
        yield client


def upload(client, path=CT):
    result, = client.upload(path.read_bytes())
    return result


# All files

def test_each_file_is_stored_or_refused_with_a_reason(archive):
    refused = {
        path: result.reason for path, result in archive.results.items()
        if result.status == 'refused'}
    assert len(archive.stored) > 150
    assert set(refused.values()) == {'not_dicom', 'no_identifiers'}
    assert refused[TEST_FILES / 'README.txt'] == 'not_dicom'
    assert all(archive.results[path].details for path in refused)
    assert {result.status for result in archive.results.values()} == {
        'stored', 'already', 'refused'}


def test_counts(archive):
    assert sorted(archive.stored) == sorted(archive.ids['instances'])
    for number, level in zip(
            archive.client.counts(), ['studies', 'series', 'instances']):
        assert number == len(archive.ids[level]) > 30


def test_every_record_is_usable(archive):
    for level, found in zip(
            ['studies', 'series', 'instances'], tree(archive.client)):
        assert {item.id for item in found} == set(archive.ids[level])
        assert not any(item.problem for item in found)


def tree(client):
    "Return the values of all studies, series and instances of a server."
    studies = client.studies(client.ids('studies'))
    series = client.series([s.id for s in studies], source='studies')
    instances = [i for block in client.instances(series) for i in block]
    return studies, series, instances


def family(archive):
    """Return the values of each instance, and the columns of its series and
    study."""
    studies, series, instances = (
        {item.id: item for item in items} for items in tree(archive.client))
    for instance in instances.values():
        above = series[instance.series]
        yield instance, above.columns, studies[above.study].columns


def test_identifiers_are_those_in_the_files(archive):
    count = 0
    for instance, series, study in family(archive):
        dataset = pydicom.dcmread(
            archive.stored[instance.id], force=True)
        assert instance.uid == dataset.SOPInstanceUID
        assert series['series_UID'] == dataset.SeriesInstanceUID
        assert study['study_instance_UID'] == dataset.StudyInstanceUID
        assert (study['patient_id'] or '') == str(
            dataset.get('PatientID') or '').strip()
        assert series['modality'] == (dataset.get('Modality') or 'OT')
        assert study['patient_sex'] == (dataset.get('PatientSex') or None)
        count += 1
    assert count == len(archive.stored)


def test_names_and_dates_of_the_test_files(archive):
    names = {study['patient_id']: texts.readable_name(study['patient_name'])
        for _, _, study in family(archive)}
    assert names['X1EXAMPLE'] == 'Wang, XiaoDong (王 小東)'
    assert names['H31EXAMPLE'] == 'Yamada, Tarou (山田 太郎)'
    assert names['SCSFREN'] == 'Buc, Jérôme'
    assert not any('^' in name or '=' in name for name in names.values())
    dates = {study['date'] for _, _, study in family(archive)
        if study['date'] and not study['study_date']}
    assert dates == set()


def test_numbers_are_those_in_the_files(archive):
    for instance, _, _ in family(archive):
        path = archive.stored[instance.id]
        try:
            number = pydicom.dcmread(path, force=True).get('InstanceNumber')
        except ValueError:
            continue
        assert instance.number == (
            None if number in {None, ''} else int(number)), path


def by_id(found):
    return sorted(found, key=lambda record: record['ID'])


def test_one_by_one_gives_the_same_as_bulk(archive):
    with FaultServer(archive.orthanc.url) as server:
        server.on('^/tools/bulk-content', faults.status(404))
        with client_of(archive.orthanc, server.url) as slow:
            for level in archive.ids:
                for source, metadata in [(level, True), ('studies', False)]:
                    ids = archive.ids[source][:20]
                    assert by_id(slow.bulk(level, ids, metadata, source)) == (
                        by_id(archive.client.bulk(
                                level, ids, metadata, source)))
            assert server.count('bulk-content') == 1
            ids = archive.ids['instances'][:20]
            for level in ['patients', 'studies', 'series']:
                assert by_id(slow.bulk(level, ids, source='instances')) == (
                    by_id(archive.client.bulk(level, ids)))


def test_tree_costs_four_calls(archive):
    before = archive.client.calls
    _, _, instances = tree(archive.client)
    assert archive.client.calls == before + 4
    assert {i.id for i in instances} == set(archive.stored)


def test_unknown_ids_are_left_out(archive):
    known = archive.ids['studies'][0]
    found = archive.client.bulk('studies', [UNKNOWN, known, known, '../x'])
    assert [record['ID'] for record in found] == [known]


def test_change_log_tells_all_in_small_blocks(archive):
    client = archive.client
    blocks = list(client.all_changes(0, block=37))
    assert len(blocks) > 5
    assert [b.done for b in blocks] == [False] * (len(blocks) - 1) + [True]
    assert blocks[-1].last == client.last_change()
    seen = {
        change['ID'] for block in blocks for change in block.changes
        if change['ChangeType'] == 'NewInstance'}
    assert seen == set(archive.stored)
    assert list(client.all_changes(0)) == [client.changes(0, 4000)]
    nothing, = client.all_changes(blocks[-1].last)
    assert nothing == ([], blocks[-1].last, True)
    beyond, = client.all_changes(10 ** 6)
    assert beyond.last == blocks[-1].last


def png_size(body):
    return struct.unpack('>II', body[16:24])


def test_preview_is_the_picture_or_there_is_none(archive):
    pictures = 0
    for id_, path in archive.stored.items():
        dataset = pydicom.dcmread(path, force=True, stop_before_pixels=True)
        try:
            body, kind = archive.client.preview(id_)
        except NoPicture as error:
            assert type(error) is NoPicture
        else:
            assert kind == 'image/png'
            assert png_size(body) == (dataset.Columns, dataset.Rows)
            pictures += 1
    assert 80 < pictures < len(archive.stored)


# Reading

def test_empty_server(make_orthanc):
    with client_of(make_orthanc()) as client:
        check_empty_server(client)


def check_empty_server(client):
    assert client.system()['Version']
    assert client.statistics()['CountStudies'] == 0
    assert client.ids('studies') == []
    assert client.changes(0) == ([], 0, True)
    assert client.last_change() == 0
    assert 'dicom-web' in client.plugins()
    assert client.viewers() == ['explorer']


def test_ohif_in_a_served_folder(make_orthanc, tmp_path):
    (tmp_path / 'viewer').write_text('<!DOCTYPE html><title>OHIF</title>')
    orthanc = make_orthanc(extra={
            'ServeFolders': {
                'AllowCache': False,
                'Folders': {'/ohif': str(tmp_path)},
                'Extensions': {'': 'text/html'},
                }})
    with client_of(orthanc) as client:
        assert client.viewers() == ['explorer', 'ohif']


def test_log_that_was_emptied_keeps_its_numbers(orthanc, client):
    upload(client)
    last = client.last_change()
    assert last >= 4
    orthanc.rest('DELETE', '/changes')
    assert client.last_change() == last
    assert client.changes(0) == ([], last, True)


def test_tags(client):
    stored = upload(client)
    tags = client.tags(stored.instance)
    assert tags['PatientName'] == 'CompressedSamples^CT1'
    assert tags['Rows'] == '128'
    with pytest.raises(NotFound):
        client.tags(UNKNOWN)


def test_pictures(client):
    stored = upload(client)
    plain, _ = client.preview(stored.instance)
    window, _ = client.preview(stored.instance, window=(40, 400))
    small, _ = client.preview(
        stored.instance, window=(40, 400), size=(32, 200))
    assert png_size(plain) == png_size(window) == (128, 128)
    assert png_size(small) == (32, 32)
    assert len({plain, window, small}) == 3
    large, _ = client.preview(stored.instance, size=(10 ** 8, 10 ** 8))
    assert png_size(large) == (4096, 4096)
    assert client.system()


def test_frames(client):
    stored = upload(client, MULTI_FRAME)
    frames = [client.preview(stored.instance, i)[0] for i in (0, 1, 29)]
    assert len(set(frames)) == 3
    with pytest.raises(NoFrame):
        client.preview(stored.instance, 30)
    with pytest.raises(NoFrame):
        client.preview(upload(client).instance, 1)
    with pytest.raises(NotFound):
        client.preview(UNKNOWN)


@pytest.mark.parametrize('name', ['rtplan.dcm', 'test-SR.dcm'])
def test_no_picture(client, name):
    stored = upload(client, TEST_FILES / name)
    with pytest.raises(UnsupportedMedia) as error:
        client.preview(stored.instance)
    assert error.value.reason == 'no_picture'


# Writing

def test_upload_of_a_zip(client):
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, 'w') as file:
        file.write(CT, 'a/ct.dcm')
        file.write(MR, 'mr')
        file.write(CT, 'again.dcm')
        file.writestr('readme.txt', "no DICOM")
    results = client.upload(packed.getvalue())
    assert [r.status for r in results] == ['stored', 'stored', 'already']
    assert {r.instance for r in results} == set(client.ids('instances'))
    assert {r.study for r in results} == set(client.ids('studies'))
    assert {r.patient for r in results} == set(client.ids('patients'))


def test_upload_of_a_zip_without_dicom(client):
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, 'w') as file:
        file.writestr('readme.txt', "no DICOM")
    assert client.upload(packed.getvalue()) == []
    result, = client.upload(packed.getvalue()[:-30])
    assert (result.status, result.reason) == ('refused', 'not_dicom')


def test_upload_where_the_answer_is_lost(orthanc, client):
    with FaultServer(orthanc.url) as server:
        server.on('^/instances', faults.reset())
        with client_of(orthanc, server.url) as faulty:
            with pytest.raises(ConnectionLost):
                faulty.upload(CT.read_bytes())
        assert server.count('^/instances') == 1
    assert upload(client).status == 'already'


def test_delete(client):
    stored = upload(client)
    assert client.delete('series', stored.series) is True
    assert client.ids('patients') == []
    with pytest.raises(NotFound) as error:
        client.delete('series', stored.series)
    assert error.value.own


def test_delete_where_the_answer_is_lost_or_a_page(orthanc, client):
    stored = upload(client)
    with FaultServer(orthanc.url) as server:
        server.on('', faults.html(), method='DELETE', nth=1)
        server.on('', faults.reset(), method='DELETE')
        with client_of(orthanc, server.url) as faulty:
            with pytest.raises(BadAnswer):
                faulty.delete('studies', stored.study)
            assert client.ids('studies') == [stored.study]
            with pytest.raises(ConnectionLost):
                faulty.delete('studies', stored.study)
            assert client.ids('studies') == []
            with pytest.raises(NotFound):
                client.delete('studies', stored.study)


def test_store_pdf(orthanc, client):
    stored = upload(client)
    pdf = b'%PDF-1.4\nhello\n%%EOF\n'
    id_ = client.store_pdf(
        stored.study, pdf,
        {'SeriesDescription': "Report", 'Modality': 'DOC'})
    assert orthanc.rest('GET', f'/instances/{id_}/pdf').rstrip(b'\0') == pdf
    study, = client.bulk('studies', [id_])
    assert study['ID'] == stored.study
    tags = client.tags(id_)
    assert tags['PatientID'] == '1CT1'
    assert tags['SeriesDescription'] == "Report"
    assert client.statistics()['CountPatients'] == 1
    with pytest.raises(NotFound):
        client.store_pdf(UNKNOWN, pdf, {})


# Connections

def test_connection_that_stood_idle(client):
    client.system()
    time.sleep(1.5)
    assert client.system()
    assert upload(client).status == 'stored'
    time.sleep(1.5)
    assert upload(client).status == 'already'


def test_server_that_stops_and_starts(make_orthanc):
    orthanc = make_orthanc()
    with client_of(orthanc) as client:
        studies = [upload(client).study]
        orthanc.kill()
        with pytest.raises(ConnectionRefused):
            client.ids('studies')
        orthanc.start()
        assert client.ids('studies') == studies


def test_connection_that_breaks_between(orthanc, client):
    upload(client)
    with FaultServer(orthanc.url) as server:
        server.on('', faults.reset(0.5), nth={1, 4})
        server.on('', faults.drop(), nth=2)
        with client_of(orthanc, server.url) as faulty:
            assert tree(faulty) == tree(client)


def test_lies(orthanc, client):
    upload(client)
    with FaultServer(orthanc.url) as server:
        server.on('/statistics', faults.change(
                lambda value: {**value, 'CountStudies': None}))
        server.on('/system', faults.change(
                lambda value: {**value, 'Version': None}))
        with client_of(orthanc, server.url) as faulty:
            with pytest.raises(BadAnswer):
                faulty.statistics()
            with pytest.raises(NotOrthanc):
                faulty.system()


def test_wrong_password(orthanc):
    with closing(OrthancClient(orthanc.url, orthanc.user, 'x')) as client:
        with pytest.raises(Unauthorized):
            client.system()
        with pytest.raises(Unauthorized):
            client.upload(b'x' * 20_000_000)
    with closing(OrthancClient(orthanc.url)) as client:
        with pytest.raises(Unauthorized):
            client.ids('studies')


def test_password_of_any_script(make_orthanc):
    orthanc = make_orthanc(users={'Zoë': 'пароль:密码'})
    with client_of(orthanc) as client:
        assert client.system()


def test_server_without_passwords(make_orthanc):
    orthanc = make_orthanc(users={})
    with closing(OrthancClient(orthanc.url)) as client:
        assert client.system()


def test_dicom_port_is_no_orthanc(orthanc):
    url = f'http://127.0.0.1:{orthanc.dicom_port}'
    with client_of(orthanc, url, read_timeout=3) as client:
        with pytest.raises((ConnectionLost, NotOrthanc)):
            client.system()
