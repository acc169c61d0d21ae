# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Uploads that end or stall the server which parses them: they are refused by
name and not sent, and what hospitals have passes.

Without the check Orthanc ends at 46 to 50 levels of sequences (seen with
1.10.1 and 1.13.0), works for 90 s on 200 000 items of one sequence and for
21 s on 60 000 elements, and waits for ever for the end of file meta
information of 8 to 11 bytes or of more than 2 GiB.
"""
import io
import os
import re
import subprocess
import time
import zipfile
from contextlib import ExitStack, closing
from importlib.util import find_spec
from pathlib import Path

import pydicom
import pytest
import seed
from proteus import Model
from proteus.config import set_xmlrpc_session
from support.fault_server import truncate
from support.hostile import EXPLICIT, Writer, harmless, hostile
from support.images import INSTANCE, Hospital, context_of, ct_series
from support.records import Rpc, RpcError

from trytond.config import config
from trytond.modules.health_orthanc.archive import structure
from trytond.modules.health_orthanc.archive.orthanc import (
    ConnectionLost, DangerousFile, OrthancClient, OrthancError)
from trytond.pool import Pool

WIZARD = 'gnuhealth.imaging_orthanc.upload_image_data'
PREVIEW = 'gnuhealth.imaging_orthanc.preview'
HOSTILE = hostile()
WORDS = {
    'nested': "levels deep",
    'items': "elements or items",
    'inflated': "grows suspiciously",
    'structure': "lengths in it are wrong",
    }
FOLDERS = [
    Path(pydicom.__file__).parent / 'data',
    Path(find_spec('data_store').origin).parent,
    ]
FILES = sorted(
    path for folder in FOLDERS for path in folder.rglob('*')
    if path.is_file() and path.suffix not in {'.py', '.pyc'})
EACH = [
    pytest.param(reason, content, id=f'{reason} {name}')
    for reason, files in HOSTILE.items() for name, content in files.items()]


@pytest.fixture(scope='module')
def hospital(activated, tmp_path_factory):
    hospital = Hospital(
        tmp_path_factory.mktemp('orthanc'), modalities={'scanner': 'SCANNER'})
    yield hospital
    hospital.close()


@pytest.fixture(autouse=True)
def calm(request):
    if 'hospital' in request.fixturenames:
        request.getfixturevalue('hospital').faults.clear()


def upload(hospital, content, name=''):
    "Upload as a radiologist; return what the last window shows."
    result = hospital.rpc('radiologist').run_wizard(WIZARD, [
            ('start', {}),
            ('upload', {'start': {
                        'data_to_upload': content,
                        'file_name': name,
                        'server_config': hospital.server}}),
            ])
    return result['view']['defaults']


def packed(files):
    content = io.BytesIO()
    with zipfile.ZipFile(content, 'w', zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return content.getvalue()


class Stream(io.RawIOBase):
    "A file that comes in odd pieces and cannot seek."

    def __init__(self, content):
        self._file = io.BytesIO(content)

    def readable(self):
        return True

    def seekable(self):
        return False

    def read(self, size=-1):
        return self._file.read(min(size, 777))


def verdict(file, size=None):
    try:
        structure.check(file, size)
    except structure.StructureError as error:
        return error.reason


@pytest.mark.parametrize('reason, content', EACH)
def test_hostile_files_are_recognized(reason, content):
    start = time.monotonic()
    assert verdict(io.BytesIO(content)) == reason
    assert time.monotonic() - start < 5
    if len(content) < 10 ** 5:
        assert verdict(Stream(content)) == reason
        assert verdict(Stream(content), len(content)) == reason


@pytest.mark.parametrize('name, content', harmless().items())
def test_odd_files_that_are_no_danger_pass(name, content):
    assert verdict(io.BytesIO(content)) is None
    if len(content) < 10 ** 5:
        assert verdict(Stream(content), len(content)) is None


def test_the_limits_are_exact():
    writer = Writer()
    item = writer.item()
    assert verdict(io.BytesIO(writer.file(writer.nested(16)))) is None
    assert verdict(io.BytesIO(writer.file(writer.nested(17)))) == 'nested'
    for count, expected in [(20000, None), (20001, 'items')]:
        content = writer.file(writer.sequence(*[item] * count))
        assert verdict(io.BytesIO(content)) == expected


def test_no_bytes_make_the_check_fail_or_wait():
    whole = Writer().file(Writer().nested(3) + Writer().nested(2, False))
    for position in range(132, len(whole)):
        for value in [0, 255, whole[position] ^ 1, whole[position] ^ 128]:
            content = bytearray(whole)
            content[position] = value
            assert verdict(io.BytesIO(content)) in {
                None, 'structure', 'nested'}
        assert verdict(io.BytesIO(whole[:position])) in {None, 'structure'}


@pytest.mark.parametrize('reason', HOSTILE)
def test_a_hostile_upload_does_not_reach_the_server(hospital, reason):
    for name, content in HOSTILE[reason].items():
        shown = upload(hospital, content, f'{name}.dcm')
        file, = shown['files']
        assert file['name'] == f'{name}.dcm'
        assert file['state'] == 'refused'
        assert WORDS[reason] in file['reason']
        assert "1 refused" in shown['summary']
    assert not hospital.faults.count('^/instances')
    with hospital.client() as client:
        assert client.system()


def test_a_hostile_file_does_not_stop_the_others_of_a_zip(hospital):
    one, two = ct_series(2)
    shown = upload(hospital, packed({
                '1.dcm': one,
                'bomb.dcm': HOSTILE['nested']['private'],
                'large.dcm': HOSTILE['items']['items'] + bytes(2 ** 21),
                '2.dcm': two}))
    fates = {file['name']: file['state'] for file in shown['files']}
    assert fates == {
        '1.dcm': 'stored', '2.dcm': 'stored',
        'bomb.dcm': 'refused', 'large.dcm': 'refused'}
    assert hospital.faults.count('^/instances$', method='POST') == 2
    joined = b'MULT' + b''.join(
        len(data).to_bytes(8, 'little') + data
        for data in [one, HOSTILE['nested']['cut'], two])
    states = [file['state'] for file in upload(hospital, joined)['files']]
    assert sorted(states) == ['already', 'already', 'refused']


def test_odd_files_are_stored(hospital):
    files = harmless()
    # The server takes longer for them than this one waits.
    large = [files.pop(name) for name in ['items', 'frames', 'fragments']]
    shown = upload(hospital, packed(files))
    states = {file['name']: file['state'] for file in shown['files']}
    assert states == dict.fromkeys(files, 'stored')
    with hospital.client() as client:
        assert [client.upload(content)[0].status for content in large] == [
            'stored'] * 3


def test_all_real_files_pass_that_a_server_takes(make_orthanc):
    orthanc = make_orthanc()
    taken = 0
    with closing(OrthancClient(
                orthanc.url, orthanc.user, orthanc.password)) as client:
        for path in FILES:
            content = path.read_bytes()
            if content.startswith(b'PK'):
                continue
            result, = client.upload(content)
            if result.status in {'stored', 'already'}:
                taken += 1
                assert verdict(io.BytesIO(content)) is None, path
                assert verdict(Stream(content), len(content)) is None, path
    assert taken > 200


@pytest.mark.parametrize('name', [
        f'{EXPLICIT} True', 'private', 'unknown', 'behind the pixels',
        'pixels are a sequence', 'in the meta information', 'cut'])
def test_without_the_check_the_server_ends(make_orthanc, name):
    orthanc = make_orthanc()
    with closing(OrthancClient(
                orthanc.url, orthanc.user, orthanc.password)) as client:
        with pytest.raises(OrthancError):
            client.upload(HOSTILE['nested'][name])
    assert not orthanc.running


# What a modality sends

def send(orthanc, folder, content):
    "Store a file as a modality does."
    path = folder / 'sent.dcm'
    path.write_bytes(content)
    subprocess.run(
        ['storescu', '-xs', '-aet', 'SCANNER', '-aec', orthanc.aet,
            '127.0.0.1', str(orthanc.dicom_port), path],
        check=True, capture_output=True, timeout=60)


@pytest.mark.parametrize('name', [
        f'{EXPLICIT} True', 'behind the pixels'])
def test_showing_what_a_modality_sent_does_not_end_the_server(
        hospital, tmp_path, name):
    send(hospital.orthanc, tmp_path, HOSTILE['nested'][name])
    assert hospital.sync() == 'done'
    with hospital.client() as client:
        uid = [change['ID'] for change in client.changes(0).changes
            if change['ChangeType'] == 'NewInstance'][-1]
    instance, = hospital.ids(INSTANCE, [('orthanc_UID', '=', uid)])
    rpc = hospital.rpc('radiologist')
    shown = rpc.run_wizard(PREVIEW, [('open_', {})],
        **context_of(INSTANCE, instance))['view']['defaults']
    assert "could end the server" in shown['message']
    assert not shown['has_picture']
    row, = rpc(f'model.{INSTANCE}.read', [instance],
        ['image', 'no_image', 'thumbnail'])
    assert "could end the server" in row['no_image']
    assert not row['image'] and not row['thumbnail']
    assert hospital.orthanc.running
    with hospital.client() as client:
        for call in [client.tags, client.preview]:
            with pytest.raises(DangerousFile):
                call(uid)
        client.delete('instances', uid)
        # Another one in the meantime is shown.
        harmless_one = client.upload(Writer().file(Writer().nested(16)))
        assert client.preview(harmless_one[0].instance)


def test_without_the_check_showing_it_ends_the_server(make_orthanc, tmp_path):
    for call in ['simplified-tags', 'frames/0/preview']:
        orthanc = make_orthanc()
        send(orthanc, tmp_path, HOSTILE['nested'][f'{EXPLICIT} True'])
        with closing(OrthancClient(
                    orthanc.url, orthanc.user, orthanc.password)) as client:
            uid, = client.ids('instances')
            with pytest.raises(OrthancError):
                client.request('GET', f'/instances/{uid}/{call}')
        assert not orthanc.running


def test_a_file_that_breaks_off_is_not_called_dangerous(hospital):
    with hospital.client() as client:
        uid = client.upload(Writer().file(
                after=Writer().element(0x7fe11001, 'OB', bytes(10 ** 6)))
            )[0].instance
    hospital.faults.on('/file$', truncate())
    with closing(OrthancClient(hospital.faults.url, hospital.orthanc.user,
                hospital.orthanc.password)) as client:
        with pytest.raises(ConnectionLost):
            client.tags(uid)


# Uploads that are too large

@pytest.fixture
def limit():
    "Return a function that sets an option of trytond's configuration."
    with ExitStack() as stack:
        def set_(section, name, value):
            if not config.has_section(section):
                config.add_section(section)
                stack.callback(config.remove_section, section)
            elif config.has_option(section, name):
                stack.callback(
                    config.set, section, name, config.get(section, name))
            else:
                stack.callback(config.remove_option, section, name)
            config.set(section, name, str(value))
        yield set_


def test_an_upload_that_is_too_large_is_told_before(hospital, limit):
    def hint():
        return hospital.rpc('radiologist').run_wizard(
            WIZARD, [('start', {})])['view']['defaults']['hint']
    assert "at most 100 MB" in hint()
    limit('health_orthanc', 'max_upload', 3)
    assert "at most 3 MB" in hint()
    # What trytond takes counts, too.
    limit('request', 'max_size_authenticated', 2 * 10 ** 6)
    assert "at most 1 MB" in hint()


def test_an_upload_that_is_too_large_is_refused(hospital, limit):
    file, = ct_series(1)
    limit('health_orthanc', 'max_upload', 1)
    with pytest.raises(RpcError) as error:
        upload(hospital, packed({'1.dcm': file}) + bytes(10 ** 6))
    assert "more than 1 MB" in error.value.message
    assert not hospital.faults.count('^/instances')
    shown = upload(hospital, file)
    assert [file['state'] for file in shown['files']] == ['stored']


@pytest.mark.parametrize('content', ["text", 5, [1], {'a': 1}, True])
def test_what_is_no_file_is_refused(hospital, content):
    with pytest.raises(RpcError) as error:
        upload(hospital, content)
    assert error.value.kind == 'UserError'
    assert "does not ask for" in error.value.message


def test_a_wizard_keeps_no_file(hospital):
    rpc = hospital.rpc('radiologist')
    session, *_ = rpc(f'wizard.{WIZARD}.create')
    for state in ['start', 'end', 'open_']:
        try:
            rpc(f'wizard.{WIZARD}.execute', session, {'start': {
                        'data_to_upload': bytes(10 ** 6)}}, state)
        except RpcError:
            pass
    with hospital.transaction():
        Session = Pool().get('ir.session.wizard')
        assert len(Session(session).data) < 5000


def _processes(session):
    "Return the ids of the processes of a session."
    found = []
    for path in Path('/proc').glob('[0-9]*'):
        try:
            if os.getsid(int(path.name)) == session:
                found.append(int(path.name))
        except OSError:
            pass
    return found


def _memory(pids, name):
    "Return the largest memory of processes, bytes."
    return 1024 * max(
        int(re.search(rf'{name}:\s*(\d+)', Path(
                    f'/proc/{pid}/status').read_text())[1]) for pid in pids)


def test_an_upload_takes_no_memory_but_that_of_its_request(
        trytond_server, orthanc):
    """trytond takes 6.4 times the file to read a request: the request, its
    text, the base64 in it as text and as bytes, and the file."""
    with set_xmlrpc_session(
            f'{trytond_server.url}/{trytond_server.database}/', 'admin',
            seed.PASSWORD) as configuration:
        server = Model.get('gnuhealth.orthanc.config', configuration)(
            label="PACS", domain=orthanc.url, user=orthanc.user,
            password=orthanc.password)
        server.save()
    rpc = Rpc('radiologist', seed.PASSWORD,
        url=f'{trytond_server.url}/{trytond_server.database}/')
    size = 30 * 10 ** 6
    content = Writer().file(
        pixels=Writer().element(0x7fe00010, 'OB', os.urandom(size)))
    session, *_ = rpc(f'wizard.{WIZARD}.create')
    pids = _processes(trytond_server.pid)
    before = _memory(pids, 'VmRSS')
    for pid in pids:
        Path(f'/proc/{pid}/clear_refs').write_text('5')
    shown = rpc(f'wizard.{WIZARD}.execute', session, {'start': {
                'data_to_upload': content, 'file_name': 'large.dcm',
                'server_config': server.id}}, 'upload')['view']['defaults']
    assert [file['state'] for file in shown['files']] == ['stored']
    assert _memory(pids, 'VmHWM') - before < 7 * size
