# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Uploads of DICOM files through the wizard, to a real PACS and its faults."""
import io
import struct
import zipfile

import pytest
from support.fault_server import (
    drop, early, hang, html, redirect, reset, status, truncate)
from support.hospitals import with_pacs
from support.images import STUDY, context_of, ct_series, read_file, variant
from support.records import RpcError

from trytond.modules.health_orthanc.archive import container
from trytond.pool import Pool

hospital = with_pacs

WIZARD = 'gnuhealth.imaging_orthanc.upload_image_data'


@pytest.fixture(autouse=True)
def calm(hospital):
    hospital.faults.clear()


def packed(files, method=zipfile.ZIP_DEFLATED):
    content = io.BytesIO()
    with zipfile.ZipFile(content, 'w', method) as archive:
        for name, data in files:
            # An entry without the time of now.
            archive.writestr(zipfile.ZipInfo(name), data, method)
    return content.getvalue()


def joined(files):
    return b'MULT' + b''.join(
        struct.pack('<Q', len(data)) + data for data in files)


class Uploaded:
    "What the result page shows."

    def __init__(self, view):
        values = view['defaults']
        self.summary = values['summary']
        self.files = [
            (f['name'], f['state'], f['reason']) for f in values['files']]
        self.states = [state for _, state, _ in self.files]
        self.studies = values['studies']


def upload(hospital, data, name='', login='radiologist', server=None):
    result = hospital.rpc(login).run_wizard(WIZARD, [
            ('start', {}),
            ('upload', {'start': {
                        'data_to_upload': data,
                        'file_name': name,
                        'server_config': server or hospital.server,
                        }}),
            ])
    return Uploaded(result['view'])


def test_the_only_server_is_chosen(hospital):
    result = hospital.rpc('radiologist').run_wizard(WIZARD, [('start', {})])
    assert result['view']['defaults']['server_config'] == hospital.server


def test_a_file_is_stored_synchronized_and_opened(hospital):
    file, = ct_series(1)
    rpc = hospital.rpc('radiologist')
    session, *_ = rpc(f'wizard.{WIZARD}.create')
    view = rpc(f'wizard.{WIZARD}.execute', session, {'start': {
                'data_to_upload': file, 'file_name': 'ct.dcm',
                'server_config': hospital.server}}, 'upload')['view']
    uploaded = Uploaded(view)
    assert uploaded.files == [('ct.dcm', 'stored', '')]
    assert "1 stored, 0 already there" in uploaded.summary
    study, = uploaded.studies
    assert hospital.read(STUDY, study, 'modalities')['modalities'] == 'CT'
    line, = hospital.log(study=study)
    assert line['action'] == 'upload'
    assert line['user'] == hospital.users['radiologist']
    (action, _), = rpc(f'wizard.{WIZARD}.execute', session, {'done': {
                'studies': [study]}}, 'open_')['actions']
    assert action['res_model'] == STUDY
    assert str(study) in action['pyson_domain']
    # The session does not keep what was uploaded.
    with hospital.transaction():
        Session = Pool().get('ir.session.wizard')
        assert len(Session(session).data) < 5000


def test_what_is_there_already_is_said_to_be(hospital):
    file, = ct_series(1)
    first = upload(hospital, file)
    again = upload(hospital, file)
    assert again.states == ['already']
    assert again.studies == first.studies


def test_a_zip_tells_the_fate_of_each_file(hospital):
    one, two = ct_series(2)
    uploaded = upload(hospital, packed([
                ('CT/1.dcm', one),
                ('CT/2.dcm', two),
                ('CT/', b''),
                ('CT/again.dcm', one),
                ('readme.txt', b'Insert the disk'),
                ('empty.dcm', b''),
                ('../../etc/passwd', two),
                ('C:/x.dcm', two),
                ('inner.zip', packed([('a.dcm', one)])),
                ('inner.gz', read_file('zipMR.gz')),
                ('DICOMDIR', read_file('dicomdirtests/DICOMDIR')),
                ('cut.dcm', one[:2000]),
                ('SR.dcm', variant('test-SR.dcm')),
                ]))
    fates = {name: (state, reason) for name, state, reason in uploaded.files}
    assert fates['CT/1.dcm'][0] == fates['CT/2.dcm'][0] == 'stored'
    assert fates['SR.dcm'][0] == 'stored'
    assert fates['CT/again.dcm'][0] == 'already'
    assert fates['readme.txt'][0] == 'not_dicom'
    assert "is empty" in fates['empty.dcm'][1]
    for name in ['../../etc/passwd', 'C:/x.dcm']:
        assert "leads out" in fates[name][1]
    for name in ['inner.zip', 'inner.gz']:
        assert "Unpack it first" in fates[name][1]
    assert "CD" in fates['DICOMDIR'][1]
    assert fates['cut.dcm'][0] != 'stored'
    assert len(fates) == 12
    assert len(uploaded.studies) == 2
    # What needs a look comes first.
    assert uploaded.states == sorted(
        uploaded.states, key=lambda s: s in {'stored', 'already'})


def test_joined_files(hospital):
    one, two = ct_series(2)
    uploaded = upload(hospital, joined([one, b'', two, b'Hello']))
    assert sorted(uploaded.states) == [
        'not_dicom', 'refused', 'stored', 'stored']
    assert len(uploaded.studies) == 1


def test_joined_archives_are_unpacked(hospital):
    one, two = ct_series(2)
    uploaded = upload(hospital, joined([packed([('1', one)]), two]))
    assert uploaded.states == ['stored', 'stored']


def bomb():
    return packed([('b', bytes(container.HARMLESS_BYTES + 2 ** 20))])


@pytest.mark.parametrize('data, words', [
        (b'', "nothing in the file"),
        (None, "nothing in the file"),
        (packed([]), "nothing in the file"),
        (packed([('folder/', b'')]), "nothing in the file"),
        (b'MULT', "nothing in the file"),
        (packed([('1', b'x' * 5000)])[:-40], "ZIP is damaged"),
        (b'PK\3\4' + bytes(100), "ZIP is damaged"),
        (joined([b'x' * 300])[:-1], "joined file is damaged"),
        (joined([b'x' * 300]) + b'123', "joined file is damaged"),
        (b'MULT' + struct.pack('<Q', 2 ** 63), "joined file is damaged"),
        (bomb(), "grows suspiciously"),
        (packed([(str(i), b'') for i in range(20001)]), "20000 files"),
        ], ids=range(12))
def test_what_cannot_be_used_is_refused_as_a_whole(hospital, data, words):
    with pytest.raises(RpcError) as error:
        upload(hospital, data)
    assert words in error.value.message
    assert not hospital.faults.count(method='POST')


def test_members_of_a_zip_that_cannot_be_unpacked(hospital):
    file, = ct_series(1)
    damaged = bytearray(packed([('1.dcm', file)], zipfile.ZIP_STORED))
    damaged[3000] ^= 255
    locked = bytearray(packed([('1.dcm', file)]))
    locked[6] |= 1
    locked[locked.rindex(b'PK\1\2') + 8] |= 1
    for data, words in [
            (bytes(damaged), "is damaged"),
            (bytes(locked), "needs a password"),
            (packed([('1.dcm', file)], zipfile.ZIP_LZMA), "not supported"),
            ]:
        (_, state, reason), = upload(hospital, data).files
        assert state == 'refused'
        assert words in reason


def test_who_may_not_upload(hospital):
    file, = ct_series(1)
    for login in ['desk', 'health_admin']:
        with pytest.raises(RpcError):
            upload(hospital, file, login=login)
    session, *_ = hospital.rpc('radiologist')(f'wizard.{WIZARD}.create')
    with pytest.raises(RpcError):
        hospital.rpc('desk')(f'wizard.{WIZARD}.execute', session, {
                'start': {
                    'data_to_upload': file,
                    'server_config': hospital.server}}, 'upload')
    assert not hospital.faults.count(method='POST')


@pytest.mark.parametrize('fault, words', [
        (hang(), "stopped answering"),
        (drop(), "broke"),
        (status(401), "refuses the user"),
        (status(403), "does not allow"),
        (status(507), "disk of the server"),
        (html(), "cannot be understood"),
        (truncate(), "broke"),
        (redirect('http://127.0.0.1:9/'), "another address"),
        ], ids=range(8))
def test_an_upload_to_a_server_that_does_harm(hospital, fault, words):
    files = ct_series(3)
    hospital.faults.on('^/instances$', fault, method='POST', nth=[2, 3])
    uploaded = upload(
        hospital, packed([(str(i), f) for i, f in enumerate(files)]))
    assert words in uploaded.summary
    assert "stopped after 1 files" in uploaded.summary
    assert uploaded.states == ['stored']
    # What was stored is synchronized, and the rest can follow.
    hospital.faults.clear()
    again = upload(
        hospital, packed([(str(i), f) for i, f in enumerate(files)]))
    assert again.states.count('stored') + again.states.count('already') == 3
    assert again.studies == uploaded.studies


def test_an_answer_that_is_lost_stores_nothing_twice(hospital):
    files = ct_series(2)
    hospital.faults.on('^/instances$', reset(), method='POST', nth=2)
    data = joined(files)
    assert upload(hospital, data).states == ['stored']
    assert upload(hospital, data).states == ['already', 'already']


@pytest.mark.parametrize('fault, words', [
        (status(413), "files of this size"),
        (early(413), "files of this size"),
        (status(500), "an error of its own"),
        (status(409), "busy"),
        ], ids=range(4))
def test_one_refused_file_does_not_stop_the_others(hospital, fault, words):
    files = ct_series(3)
    hospital.faults.on('^/instances$', fault, method='POST', nth=2)
    uploaded = upload(hospital, joined(files))
    assert sorted(uploaded.states) == ['refused', 'stored', 'stored']
    assert words in uploaded.files[0][2]


def test_a_server_that_fails_on_all_is_not_asked_for_ever(hospital):
    hospital.faults.on('^/instances$', status(500), method='POST')
    uploaded = upload(hospital, joined(ct_series(8)))
    assert hospital.faults.count('^/instances$') == 3
    assert "stopped" in uploaded.summary
    assert not uploaded.studies


def test_a_server_that_is_down(hospital):
    with hospital.faults.refusing():
        uploaded = upload(hospital, ct_series(1)[0])
    assert "Nothing answers" in uploaded.summary


def test_an_upload_whose_synchronization_fails(hospital):
    file, = ct_series(1)
    hospital.faults.on('^/system', status(500))
    uploaded = upload(hospital, file)
    assert uploaded.states == ['stored']
    assert "an error of its own" in uploaded.summary
    assert not uploaded.studies
    line = hospital.log(action='upload')[0]
    assert not line['study']
    assert "PACS" in line['details']
    hospital.faults.clear()
    assert upload(hospital, file).studies


def test_an_upload_to_a_server_that_was_never_synchronized(hospital):
    with hospital.transaction():
        Server = Pool().get('gnuhealth.orthanc.config')
        server, = Server.create([{
                    'label': "New PACS", 'domain': hospital.orthanc.url,
                    'user': hospital.orthanc.user,
                    'password': hospital.orthanc.password}])
        new = server.id
    uploaded = upload(hospital, ct_series(1)[0], server=new)
    assert "as soon as" in uploaded.summary
    assert uploaded.states == ['stored']
    # It came in the background.
    assert hospital.ids(STUDY, [('orthanc_server', '=', new)])


def test_the_wizard_needs_a_study_or_nothing(hospital):
    with pytest.raises(RpcError):
        hospital.rpc('radiologist').run_wizard(
            WIZARD, [('start', {})], **context_of('gnuhealth.patient', 1))
