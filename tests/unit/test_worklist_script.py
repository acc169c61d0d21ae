# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The worklist script: its folder, the REST worklist of newer Orthancs (a
fake of the documented API), polling, and what it does when things go wrong.
"""
import contextlib
import errno
import hashlib
import io
import json
import os
import random
import resource
import signal
import stat
import struct
import subprocess
import sys
import threading
import time
import urllib.parse
import warnings
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian
from unit.test_script_connection import (
    DATABASE, PASSWORD, SCRIPTS, WORKLISTS, StandIn, assert_one_sentence,
    environment, run, wait_for, worklist)

sys.path.insert(0, str(SCRIPTS))

import command_line  # noqa: E402
import worklist_entries  # noqa: E402
import worklist_folder  # noqa: E402
from command_line import Messages, Stopped, Unreachable  # noqa: E402
from connection import Orthanc  # noqa: E402
from worklist_entries import (  # noqa: E402
    make_maker, prefix, safe, source_hash)
from worklist_folder import (  # noqa: E402
    LOCK, TEMPORARY, Folder, FolderFailure, Stamp)
from worklist_publisher import Publisher, Update  # noqa: E402
from worklist_rest import RestWorklist, contains  # noqa: E402

NAMES = {
    'ISO_IR 100': 'M\xfcller^J\xf6rg',
    'ISO_IR 144': '\u0418\u0432\u0430\u043d\u043e\u0432^\u041f\u0451\u0442',
    'ISO_IR 126': '\u0391\u03bb\u03b5\u03be\u03af\u03bf\u03c5',
    'GB18030': 'Wang^XiaoDong=\u738b^\u5c0f\u4e1c',
    '\\ISO 2022 IR 87': 'Yamada^Tarou=\u5c71\u7530^\u592a\u90ce='
    '\u3084\u307e\u3060^\u305f\u308d\u3046',
    'ISO_IR 192': '\u738b^\u5c0f\u4e1c',
    }


def make_dataset(uid, name='Test^Ana', charset='ISO_IR 192', aetitle='CT1',
        modality='CT', number='001-01-01'):
    "Return a worklist data set."
    step = Dataset()
    step.ScheduledStationAETitle = aetitle
    step.ScheduledProcedureStepStartDate = '20261121'
    step.ScheduledProcedureStepStartTime = '101500'
    step.Modality = modality
    step.ScheduledProcedureStepID = number
    step.ScheduledProcedureStepDescription = 'Head'
    dataset = Dataset()
    dataset.SpecificCharacterSet = charset.split('\\')
    dataset.AccessionNumber = number
    dataset.PatientName = name
    dataset.PatientID = 'P' + uid[-4:]
    dataset.PatientBirthDate = '19800229'
    dataset.PatientSex = 'F'
    dataset.StudyInstanceUID = uid
    dataset.RequestedProcedureID = number
    dataset.RequestedProcedureDescription = 'CT head'
    dataset.ScheduledProcedureStepSequence = [step]
    return dataset


def make_dicom(*arguments, **values):
    "Return a worklist file, bytes."
    dataset = make_dataset(*arguments, **values)
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.MediaStorageSOPClassUID = '1.2.840.10008.5.1.4.31'
    dataset.file_meta.MediaStorageSOPInstanceUID = (
        dataset.StudyInstanceUID + '.1')
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    file = io.BytesIO()
    dataset.save_as(file, enforce_file_format=True)
    return file.getvalue()


def make_entry(id_, number=None, error=None, told=None, order='', **values):
    "Return an entry as GNU Health sends it."
    number = f'{id_:03}-01-01' if number is None else number
    uid = f'2.25.{1000 + id_}'
    values.setdefault('charset', 'ISO_IR 192')
    dicom = make_dicom(uid, number=told or f'S{id_}', **values)
    return {
        'id': id_,
        'number': number,
        'order': order,
        'digest': hashlib.sha256(dicom).hexdigest(),
        'filename': number,
        'study_instance_uid': uid,
        'aetitle': values.get('aetitle', 'CT1'),
        'modality': values.get('modality', 'CT'),
        'charset': values['charset'],
        'template_type': 'json',
        'text': '',
        'dicom': None if error else dicom,
        'error': error,
        }


def answer(entries, removed=(), full=True, cursor='1', same=()):
    "Return an answer as read_answer returns it."
    return {'cursor': cursor, 'full': full, 'entries': list(entries),
        'removed': list(removed), 'same': set(same), 'ask': set()}


class Told(Messages):
    "Messages that are kept."

    def __init__(self):
        super().__init__(1)
        self.errors = []
        self.infos = []

    def error(self, text):
        self.errors.append(str(text))

    def info(self, text):
        self.infos.append(str(text))

    detail = info


class Desk:
    "A folder and what publishes in it."

    def __init__(self, path, database='his', with_dump2dcm=False, **options):
        self.path = path
        self.messages = Told()
        self.folder = Folder(path, database, **options)
        self.folder.open()
        self.publisher = Publisher(
            self.folder, database,
            make_maker(with_dump2dcm), self.messages)

    def apply(self, *arguments, regenerate=False, **values):
        "Publish an answer; return what was done, without what is zero."
        report = self.publisher.apply(
            answer(*arguments, **values), regenerate)
        return {key: count for key, count in report.items() if count}

    def close(self):
        self.folder.close()

    @property
    def names(self):
        "The names of the worklist files."
        return sorted(path.name for path in self.path.glob('*.wl'))


@pytest.fixture
def path(tmp_path):
    path = tmp_path / 'worklists'
    path.mkdir()
    return path


@pytest.fixture
def desk(path):
    desk = Desk(path)
    yield desk
    desk.close()


# The folder

def test_publish_change_and_remove(desk):
    assert desk.apply([make_entry(1), make_entry(2)]) == {'new': 2}
    assert desk.names == [
        'gnuhealth-his-001-01-01.wl', 'gnuhealth-his-002-01-01.wl']
    file = desk.path / desk.names[0]
    before = file.stat()
    assert desk.apply([make_entry(1), make_entry(2)]) == {'unchanged': 2}
    assert file.stat().st_ino == before.st_ino
    assert file.stat().st_mtime_ns == before.st_mtime_ns
    assert desk.apply([make_entry(1, name='New^Name')], full=False) == {
        'changed': 1}
    assert dcmread(file).PatientName == 'New^Name'
    assert desk.apply([make_entry(1, name='New^Name')]) == {
        'unchanged': 1, 'removed': 1}
    assert desk.apply(
        [], [{'id': 1, 'number': '001-01-01'}], full=False) == {'removed': 1}
    assert desk.names == []
    assert desk.messages.errors == []


def test_data_is_as_sent_and_marked(desk):
    entry = make_entry(7)
    desk.apply([entry])
    data = (desk.path / desk.names[0]).read_bytes()
    assert data[128:] == entry['dicom'][128:]
    assert data.startswith(b'GNU Health worklist 1\n')
    mark = Stamp('his').read(data)
    assert (mark.id, mark.intact) == (7, True)
    assert Stamp('other').read(data) is None
    assert Stamp('his').read(data[:-1]).intact is False


def test_mode_and_group(desk):
    os.chmod(desk.path, 0o2770)
    if os.geteuid() == 0:
        os.chown(desk.path, -1, 65534)
    desk.apply([make_entry(1)])
    for file in desk.path.iterdir():
        if file.name != LOCK:
            status = file.stat()
            assert stat.S_IMODE(status.st_mode) == 0o640
            assert status.st_gid == desk.path.stat().st_gid


@pytest.mark.parametrize('number', [
        '../../etc/passwd', '/etc/passwd', '..', '.', 'a/b', 'a\\b', 'a\0b',
        'ñ-1', 'x' * 500, 'a b', '', '~root', 'CON', '-rf', 'a\nb',
        '\ud800'])
@pytest.mark.parametrize('database', ['his', '../x', 'a-b', 'd' * 300])
def test_no_name_leaves_the_folder(path, number, database):
    desk = Desk(path, database)
    assert desk.apply([make_entry(1, number)]) == {'new': 1}
    name, = desk.names
    assert name.startswith('gnuhealth-') and name.endswith('.wl')
    assert len(name) < 255
    assert desk.apply([make_entry(1, number)]) == {'unchanged': 1}
    assert desk.apply([]) == {'removed': 1}
    desk.close()
    assert [child.name for child in path.parent.iterdir()] == ['worklists']


def test_different_names_stay_different():
    names = ['a/b', 'a_b', 'a b', 'a:b', 'x' * 100, 'x' * 101, '']
    assert len({safe(name, '-') for name in names}) == len(names)
    assert safe('001-02-01', '-') == '001-02-01'
    prefixes = [prefix(name) for name in ['a', 'a-b', 'a.b', 'a_b']]
    for one in prefixes:
        assert sum(other.startswith(one) for other in prefixes) == 1


def test_files_of_others_are_not_touched(desk):
    others = {
        'other.wl': b'x',
        'gnuhealth-his-001-01-01.wl': make_dicom('2.25.5'),
        'gnuhealth-his-777.wl': b'',
        'gnuhealth-other-1.wl': Stamp('other').put(
            make_dicom('2.25.6'), 1, 'x' * 16),
        'lockfile': b'',
        'notes.tmp': b'mine',
        'gnuhealth.json': b'{}',
        }
    for name, data in others.items():
        (desk.path / name).write_bytes(data)
    (desk.path / 'gnuhealth-his-003-01-01.wl').mkdir()
    (desk.path / 'gnuhealth-his-004-01-01.wl').symlink_to('other.wl')
    (desk.path / 'gnuhealth-his-888.wl').symlink_to('/no/such/file')
    os.mkfifo(desk.path / 'gnuhealth-his-999.wl')
    report = desk.apply([make_entry(id_) for id_ in [1, 2, 3, 4]])
    assert report == {'failed': 3, 'new': 1}
    assert len(desk.messages.errors) == 3
    assert all("in the way" in text for text in desk.messages.errors)
    assert desk.apply([]) == {'removed': 1}
    for name, data in others.items():
        assert (desk.path / name).read_bytes() == data
    assert (desk.path / 'gnuhealth-his-004-01-01.wl').is_symlink()
    assert (desk.path / 'gnuhealth-his-888.wl').is_symlink()
    assert (desk.path / 'gnuhealth-his-999.wl').is_fifo()


def test_edited_file_is_no_longer_ours(desk):
    desk.apply([make_entry(1)])
    file = desk.path / desk.names[0]
    dataset = dcmread(file)
    dataset.PatientName = 'By^Hand'
    dataset.preamble = bytes(128)
    dataset.save_as(file)
    assert desk.apply([make_entry(1)]) == {'failed': 1}
    assert "changed later" in desk.messages.errors[0]
    assert dcmread(file).PatientName == 'By^Hand'


def test_damaged_file_is_repaired(desk):
    entry = make_entry(1)
    desk.apply([entry])
    file = desk.path / desk.names[0]
    good = file.read_bytes()
    file.write_bytes(good[:-10])
    assert desk.apply([entry]) == {'changed': 1}
    assert file.read_bytes() == good


def test_file_with_a_copied_mark_is_replaced(desk):
    desk.apply([make_entry(1), make_entry(2)])
    one, two = [desk.path / name for name in desk.names]
    two.write_bytes(one.read_bytes())
    assert desk.apply([make_entry(1), make_entry(2)]) == {
        'unchanged': 1, 'changed': 1}
    assert dcmread(two).StudyInstanceUID == '2.25.1002'


def test_renumbered_request_moves(desk):
    desk.apply([make_entry(1, 'A')])
    assert desk.apply([make_entry(1, 'B')], full=False) == {
        'new': 1, 'removed': 1}
    assert desk.names == ['gnuhealth-his-B.wl']
    assert desk.apply([make_entry(1, 'C')]) == {'new': 1, 'removed': 1}
    assert desk.names == ['gnuhealth-his-C.wl']


def test_number_that_goes_to_another_request(desk):
    desk.apply([make_entry(1, 'A')])
    assert desk.apply(
        [make_entry(2, 'A')], [{'id': 1, 'number': 'A'}], full=False) == {
        'removed': 1, 'new': 1}
    assert desk.apply([], [{'id': 1, 'number': 'A'}], full=False) == {}
    assert dcmread(desk.path / desk.names[0]).StudyInstanceUID == '2.25.1002'


@pytest.mark.parametrize('full', [True, False])
def test_two_requests_with_one_number(desk, full):
    assert desk.apply([make_entry(2, 'A'), make_entry(1, 'A')]) == {
        'new': 1, 'failed': 1}
    assert dcmread(desk.path / desk.names[0]).StudyInstanceUID == '2.25.1001'
    report = desk.apply(
        [make_entry(2, 'A')] + [make_entry(1, 'A')] * full, full=full)
    assert report.get('failed') == 1 and not report.get('removed')
    assert dcmread(desk.path / desk.names[0]).StudyInstanceUID == '2.25.1001'


# What Orthanc removes

def test_vanished_file_is_not_written_again(desk):
    entries = [make_entry(1), make_entry(2)]
    desk.apply(entries)
    (desk.path / desk.names[0]).unlink()
    assert desk.apply(entries) == {'held': 1, 'unchanged': 1}
    assert desk.apply(entries, full=False) == {'held': 1, 'unchanged': 1}
    desk.close()
    later = Desk(desk.path)
    assert later.apply(entries) == {'held': 1, 'unchanged': 1}
    assert later.names == ['gnuhealth-his-002-01-01.wl']
    assert later.apply(entries, regenerate=True) == {'new': 1, 'changed': 1}
    (later.path / later.names[0]).unlink()
    assert later.apply([make_entry(1, name='New^Name'), entries[1]]) == {
        'new': 1, 'unchanged': 1}
    later.close()


def test_done_and_requested_again_is_published(desk):
    entry = make_entry(1)
    desk.apply([entry])
    (desk.path / desk.names[0]).unlink()
    assert desk.apply([], [{'id': 1, 'number': ''}], full=False) == {}
    assert desk.apply([entry], full=False) == {'new': 1}
    (desk.path / desk.names[0]).unlink()
    assert desk.apply([]) == {}
    assert desk.apply([entry]) == {'new': 1}


@pytest.mark.parametrize('damage', [
        b'', b'[]', b'{"1": 5}', b'{"x": ["a", "b", "c"]}', b'\xff', None])
def test_without_its_notes_all_is_published(desk, damage):
    entry = make_entry(1)
    desk.apply([entry])
    (desk.path / desk.names[0]).unlink()
    desk.close()
    notes, = desk.path.glob('.*.json')
    if damage is None:
        notes.unlink()
    else:
        notes.write_bytes(damage)
    later = Desk(desk.path)
    assert later.apply([entry]) == {'new': 1}
    later.close()


# Bad entries

@pytest.mark.parametrize('bad, words', [
        (dict(error="No template."), "No template."),
        (dict(dicom=None), "no data set"),
        (dict(dicom=b''), "no data set"),
        (dict(dicom='text'), "no data set"),
        (dict(dicom=b'x' * 500), "no DICOM file"),
        (dict(dicom=make_dicom('2.25.1001')[:-3]), "incomplete"),
        (dict(study_instance_uid='2.25.5'), '"2.25.5"'),
        (dict(study_instance_uid=''), '""'),
        ])
def test_bad_entry_does_not_stop_the_others(desk, bad, words):
    entries = [dict(make_entry(1), **bad), make_entry(2)]
    for _ in range(2):
        report = desk.apply(entries)
        assert report['failed'] == 1
    assert desk.names == ['gnuhealth-his-002-01-01.wl']
    assert len(desk.messages.errors) == 1
    assert desk.messages.errors[0].startswith("001-01-01: ")
    assert words in desk.messages.errors[0]
    assert desk.apply([make_entry(1), make_entry(2)])['new'] == 1


def element(tag, vr, value, long=False):
    "Return an element of Explicit VR Little Endian, bytes."
    length = struct.pack('<HL' if long else '<H', *[0] * long, len(value))
    return struct.pack(
        '<HH2s', tag >> 16, tag & 0xffff, vr) + length + value


UID = element(0x20000d, b'UI', b'2.25.1001\0')
STEP = element(0x400100, b'SQ', struct.pack('<HHL', 0xfffe, 0xe000, 0), True)
LAST = 0x400101


@pytest.mark.parametrize('syntax, body, words', [
        ('1.2.840.10008.1.2', UID + STEP, "read back"),
        ('1.2.840.10008.1.2.1.99', UID + STEP, "read back"),
        ('', UID, "no scheduled procedure step"),
        ('', UID + element(0x400100, b'SQ', b'', True),
            "no scheduled procedure step"),
        ('', UID + element(0x400100, b'LO', b'CT'), "read back"),
        ('', element(0x20000d, b'LO', b'2.25.1001 ') + STEP, "read back"),
        ('', UID + UID + STEP, "read back"),
        ('', STEP + UID, "read back"),
        ('', UID + STEP + b'\0', "incomplete"),
        ('', UID + STEP[:-8] + struct.pack('<HHL', 0xfffe, 0xe000, 8),
            "incomplete"),
        ('', UID + STEP[:-8] + struct.pack('<HHL', 0xfffe, 0xe00d, 0),
            "read back"),
        ('', UID + STEP[:-12] + b'\xff' * 4 + STEP[-8:], "incomplete"),
        ('', element(0x20010, b'UI', b'1.2\0') + UID + STEP, "read back"),
        ('', UID + STEP + element(LAST, b'US', b'123456'[:3]), "read back"),
        ('', UID + STEP + element(LAST, b'UL', b'12'), "read back"),
        ('', UID + STEP + element(LAST, b'ZZ', b'12'), "read back"),
        ('', UID + STEP + element(LAST, b'DS', b'1.5x'), "read back"),
        ('', UID + STEP + element(LAST, b'IS', b'1' * 65_000), "read back"),
        ('', UID + STEP + element(LAST, b'DS', b'\\' * 65_000 + b'xx'),
            "read back"),
        ('', UID + STEP + element(LAST, b'LO', b'\xc3\xa4'),
            "character set"),
        ('', element(0x80005, b'CS', b'ISO_IR 192') + UID + STEP
            + element(LAST, b'LO', b'\xe4 '), "character set"),
        ('', element(0x80005, b'CS', b'ISO_IR 192') + UID + STEP
            + element(LAST, b'CS', b'\xc3\xa4'), "character set"),
        ], ids=lambda value: value if isinstance(value, str) else 'body')
def test_file_that_is_none(desk, syntax, body, words):
    syntax = (syntax or ExplicitVRLittleEndian).encode()
    meta = element(0x20010, b'UI', syntax + b'\0' * (len(syntax) % 2))
    dicom = b''.join([
            b'\0' * 128, b'DICM',
            element(0x20000, b'UL', struct.pack('<L', len(meta))), meta])
    good, bad = (
        dict(make_entry(1), dicom=dicom + made)
        for made in [UID + STEP, body])
    assert desk.apply([bad]) == {'failed': 1}
    assert words in desk.messages.errors[0]
    assert desk.names == []
    if syntax.decode() == ExplicitVRLittleEndian:
        assert desk.apply([good]) == {'new': 1}


def test_sequences_in_sequences_without_end(desk):
    deep = b''
    for _ in range(3000):
        deep = element(0x400100, b'SQ', struct.pack(
                '<HHL', 0xfffe, 0xe000, len(deep)) + deep, True)
    dicom = make_entry(1)['dicom']
    start = dicom.index(UID) + len(UID)
    bad = dict(make_entry(1), dicom=dicom[:start] + deep)
    assert desk.apply([bad]) == {'failed': 1}
    assert "read back: RecursionError" in desk.messages.errors[0]


@pytest.mark.parametrize('charset', NAMES)
def test_a_file_that_is_accepted_can_be_read(charset):
    "Change bytes: what is accepted pydicom reads, with the same UID."
    entry = worklist_entries.Entry.read(
        make_entry(1, charset=charset, name=NAMES[charset]))
    chance, accepted = random.Random(charset), 0
    for _ in range(1000):
        data = bytearray(entry.dicom)
        at = chance.randrange(128, len(data))
        data[at:at + chance.randrange(3)] = chance.randbytes(
            chance.randrange(3))
        with contextlib.suppress(worklist_entries.EntryFailure):
            worklist_entries.verify(bytes(data), entry)
            with warnings.catch_warnings():
                warnings.simplefilter('ignore')
                dataset = dcmread(io.BytesIO(data))
                values = [str(e.value) for e in dataset.iterall()]
            assert dataset.StudyInstanceUID == entry.study_instance_uid
            assert '\ufffd' not in ''.join(values)
            accepted += 1
    assert 10 < accepted < 500


@pytest.mark.parametrize('removed', [
        [None], [5], ['x'], [[]], [{}], [{'id': []}], [{'id': 7}]])
def test_odd_removals(desk, removed):
    desk.apply([make_entry(1)])
    assert desk.apply([], removed, full=False) == {}
    assert len(desk.names) == 1


@pytest.mark.parametrize('entry', [
        None, 5, 'x', [], {}, {'id': None}, {'id': '1'}, {'id': True},
        {'id': -1}, {'id': 1.0}])
def test_what_is_no_entry(desk, entry):
    assert desk.apply([entry, make_entry(2)]) == {'failed': 1, 'new': 1}


def test_entry_of_a_minimum_of_keys(desk):
    entry = make_entry(5)
    assert desk.apply([{
                'id': 5, 'dicom': entry['dicom'],
                'study_instance_uid': entry['study_instance_uid']}]) == {
        'new': 1}
    assert desk.names == ['gnuhealth-his-id5.wl']


def test_dicom_as_xmlrpc_binary(desk):
    from xmlrpc.client import Binary
    entry = make_entry(1)
    assert desk.apply([dict(entry, dicom=Binary(entry['dicom']))]) == {
        'new': 1}


def test_entry_that_turns_bad_is_withdrawn(desk):
    desk.apply([make_entry(1), make_entry(2)])
    assert desk.apply([make_entry(1, error="No such letter.")], full=False
        ) == {'failed': 1, 'removed': 1}
    assert desk.names == ['gnuhealth-his-002-01-01.wl']
    assert desk.apply([make_entry(1), make_entry(2)]) == {
        'new': 1, 'unchanged': 1}


def test_data_set_without_step_is_refused(desk):
    dataset = dcmread(io.BytesIO(make_dicom('2.25.1001')))
    for steps in [[], None]:
        dataset.ScheduledProcedureStepSequence = steps or []
        if steps is None:
            del dataset.ScheduledProcedureStepSequence
        file = io.BytesIO()
        dataset.save_as(file)
        assert desk.apply([dict(make_entry(1), dicom=file.getvalue())]) == {
            'failed': 1}
    assert "procedure step" in desk.messages.errors[0]


def test_text_in_another_character_set_is_refused(desk):
    data = make_dicom('2.25.1001', name='Muller^Anna').replace(
        b'Muller', b'M\xfcller')
    assert desk.apply([dict(make_entry(1), dicom=data)]) == {'failed': 1}
    assert "character set" in desk.messages.errors[0]


@pytest.mark.parametrize('charset', NAMES)
def test_names_in_every_script(desk, charset):
    desk.apply([make_entry(1, name=NAMES[charset], charset=charset)])
    assert desk.messages.errors == []
    dataset = dcmread(desk.path / desk.names[0])
    assert dataset.PatientName == NAMES[charset]


# dump2dcm

DUMP = '''(0008,0005) CS [{charset}]
(0010,0010) PN [{name}]
(0010,0020) LO [P1]
(0020,000d) UI [2.25.1001]
(0040,0100) SQ
(fffe,e000) na
(0008,0060) CS [CT]
(0040,0001) AE [CT1]
(fffe,e00d) na
(fffe,e0dd) na
'''


def make_dump(charset='ISO_IR 192', name='Test^Ana', **values):
    "Return an entry of a dump2dcm template."
    return dict(
        make_entry(1), template_type='dump2dcm', charset=charset, dicom=None,
        text=DUMP.format(charset=charset, name=name), **values)


@pytest.mark.dcmtk
@pytest.mark.parametrize('charset', NAMES)
def test_dump2dcm(path, charset):
    desk = Desk(path, with_dump2dcm=True)
    entry = make_dump(charset, NAMES[charset])
    assert desk.apply([entry]) == {'new': 1}
    assert desk.apply([entry]) == {'unchanged': 1}
    assert dcmread(path / desk.names[0]).PatientName == NAMES[charset]
    desk.close()


@pytest.mark.dcmtk
@pytest.mark.parametrize('entry, words', [
        (make_dump(name='x] (0010'), "dump2dcm cannot read it"),
        (dict(make_dump(), text=''), "StudyInstanceUID"),
        (dict(make_dump(), text='(0010,0010) PN [x'), "dump2dcm"),
        (make_dump('ISO_IR 100', NAMES['ISO_IR 144']), "ISO_IR 100"),
        (make_dump('ISO 8859', 'x\xe4'), "character set"),
        ])
def test_dump2dcm_refuses(path, entry, words):
    desk = Desk(path, with_dump2dcm=True)
    report = desk.apply([entry])
    desk.close()
    if report == {'new': 1}:
        # dcmtk reads a stray bracket as a part of the value.
        assert dcmread(path / desk.names[0]).PatientName == 'x] (0010'
    else:
        assert report == {'failed': 1}
        assert words in desk.messages.errors[0]


def test_with_dump2dcm_uses_it_for_its_templates_only(path):
    desk = Desk(path, with_dump2dcm=True)
    assert desk.apply([make_entry(1)]) == {'new': 1}
    desk.close()
    desk = Desk(path)
    assert desk.apply([make_dump()]) == {'failed': 1, 'removed': 1}
    desk.close()


def test_hanging_dump2dcm(path, tmp_path, monkeypatch):
    (tmp_path / 'dump2dcm').write_text('#!/bin/sh\nexec sleep 60\n')
    (tmp_path / 'dump2dcm').chmod(0o700)
    monkeypatch.setenv('PATH', f'{tmp_path}:{os.environ["PATH"]}')
    monkeypatch.setattr(worklist_entries, 'DUMP2DCM_SECONDS', 0.2)
    desk = Desk(path, with_dump2dcm=True)
    assert desk.apply([make_dump()]) == {'failed': 1}
    assert "dump2dcm cannot be run" in desk.messages.errors[0]
    desk.close()


def test_dump2dcm_is_not_installed(path):
    done = run(WORKLISTS, '-d', 'x', '-w', path, '--with-dump2dcm',
        PATH='/no/such/folder', GNUHEALTH_PASSWORD='x')
    assert_one_sentence(done, 2, "install dcmtk")


# Trouble with the folder

@pytest.mark.parametrize('folder, words', [
        ('/no/such/folder', "No such file"),
        ('/dev/null', "Not a directory"),
        ('/proc', "cannot be used"),
        ])
def test_folder_that_cannot_be_used(folder, words):
    done = run(
        WORKLISTS, '-d', 'x', '-w', folder, GNUHEALTH_PASSWORD='x')
    assert_one_sentence(done, 5, words, folder)


def test_second_instance(desk):
    done = run(
        WORKLISTS, '-d', 'x', '-w', desk.path, GNUHEALTH_PASSWORD='x')
    assert_one_sentence(
        done, 5, "Another instance", f"process {os.getpid()}")
    desk.close()
    done = run(WORKLISTS, '-d', 'x', '-p', '1', '-w', desk.path,
        GNUHEALTH_PASSWORD='x')
    assert done.returncode == 3


def test_left_over_files_are_removed(path):
    begin, end = TEMPORARY
    (path / f'{begin}abc{end}').write_bytes(b'half')
    desk = Desk(path)
    assert [file.name for file in path.iterdir()] == [LOCK]
    desk.close()


class Full(Folder):
    "A folder on a disk that is full after some bytes."
    left = 0

    def _write(self, data, sync=True):
        self.left -= len(data)
        if self.left < 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return super()._write(data, sync)


def test_full_disk_and_recovery(desk, monkeypatch):
    entries = [make_entry(id_) for id_ in range(1, 6)]
    desk.apply(entries[:1])
    full = Full(desk.path, 'his')
    full.left = 2000
    desk.close()
    desk.folder = desk.publisher.target = full
    full.open()
    with pytest.raises(FolderFailure, match="No space left"):
        desk.apply(entries)
    assert 1 < len(desk.names) < 5
    for name in desk.names:
        dcmread(desk.path / name)
    assert not list(desk.path.glob('.*.tmp'))
    full.left = 10 ** 6
    report = desk.apply(entries)
    assert report['new'] + report['unchanged'] == len(desk.names) == 5


def test_disk_that_fails_at_the_end(desk, monkeypatch):
    entries = [make_entry(id_) for id_ in range(1, 150)]
    desk.apply(entries[:1])
    synced = []

    def fail(path):
        synced.append(path)
        if len(synced) > 100:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
    with monkeypatch.context() as patch:
        patch.setattr(worklist_folder, '_sync_file', fail)
        with pytest.raises(FolderFailure, match="Input/output"):
            desk.apply(entries)
    # What was not safe on the disk is neither there nor noted.
    there = len(desk.names)
    assert 1 < there <= 100
    assert not list(desk.path.glob('.*.tmp'))
    assert desk.apply(entries) == {'unchanged': there, 'new': 149 - there}


@pytest.mark.parametrize('remove', [
        lambda desk: desk.apply([make_entry(2)]),
        lambda desk: desk.apply([], [{'id': 1, 'number': ''}], full=False),
        lambda desk: desk.apply([make_entry(1, error="Bad.")], full=False)])
def test_killed_after_a_removal(desk, monkeypatch, remove):
    entries = [make_entry(1), make_entry(2)]
    desk.apply(entries)
    # What comes after the removal never happens.
    monkeypatch.setattr(desk.folder, 'flush', lambda: None)
    remove(desk)
    assert desk.names == ['gnuhealth-his-002-01-01.wl']
    desk.close()
    again = Desk(desk.path)
    assert again.apply(entries) == {'new': 1, 'unchanged': 1}
    again.close()


def test_replacement_is_there_before_the_former_goes(desk, monkeypatch):
    desk.apply([make_entry(1, '001-01-01')])
    steps = []
    replace, unlink = os.replace, os.unlink
    monkeypatch.setattr(os, 'replace', lambda *paths: (
            steps.append(f'replace {os.path.basename(paths[1])}'),
            replace(*paths)))
    monkeypatch.setattr(os, 'unlink', lambda path: (
            steps.append(f'unlink {os.path.basename(path)}'), unlink(path)))
    desk.apply([make_entry(1, '009-01-01')], full=False)
    assert steps[:2] == ['replace gnuhealth-his-009-01-01.wl',
        'unlink gnuhealth-his-001-01-01.wl']


def test_write_that_breaks_off(stand_in, path):
    stand_in.say(entries=worklist([make_entry(1)]))
    done = subprocess.run(
        [sys.executable, WORKLISTS, *stand_in.options, '-w', path],
        capture_output=True, text=True, timeout=60,
        env=environment(GNUHEALTH_PASSWORD=PASSWORD),
        preexec_fn=lambda: resource.setrlimit(
            resource.RLIMIT_FSIZE, (400, 400)))
    assert done.returncode == 5
    assert len(done.stderr.splitlines()) == 1
    assert not list(path.glob('*.wl'))
    assert not list(path.glob('.*.tmp'))
    done = publish(stand_in, path)
    assert (done.returncode, len(list(path.glob('*.wl')))) == (0, 1)


def test_folder_that_is_replaced(desk):
    desk.apply([make_entry(1)])
    desk.path.rename(desk.path.with_name('gone'))
    with pytest.raises(FolderFailure, match="No such file"):
        desk.apply([make_entry(1)])
    desk.path.mkdir()
    (desk.path / LOCK).mkdir()
    for _ in range(2):
        with pytest.raises(FolderFailure, match=LOCK):
            desk.apply([make_entry(1)])
    (desk.path / LOCK).rmdir()
    assert desk.apply([make_entry(1)]) == {'new': 1}
    other = Folder(desk.path, 'his')
    with pytest.raises(FolderFailure, match="Another instance"):
        other.open()


def test_signal_stops_between_entries(desk):
    entries = [make_entry(1), make_entry(2)]

    def make(entry):
        os.kill(os.getpid(), signal.SIGTERM)
        return lambda: entry.dicom, source_hash(entry, False)
    desk.publisher.make = make
    former = signal.getsignal(signal.SIGTERM)
    signal.signal(signal.SIGTERM, command_line._stop)
    try:
        with pytest.raises(Stopped):
            desk.apply(entries)
    finally:
        signal.signal(signal.SIGTERM, former)
    assert len(desk.names) == 1
    desk.close()
    later = Desk(desk.path)
    assert later.apply(entries) == {'unchanged': 1, 'new': 1}
    later.close()


def test_dry_run_changes_nothing(desk):
    desk.apply([make_entry(1), make_entry(2)])
    desk.close()
    before = {file.name: file.read_bytes() for file in desk.path.iterdir()}
    dry = Desk(desk.path, dry_run=True)
    report = dry.apply([
            make_entry(1, name='New^Name'), make_entry(3),
            make_entry(4, error="Bad.")])
    assert report == {'changed': 1, 'new': 1, 'removed': 1, 'failed': 1}
    assert before == {
        file.name: file.read_bytes() for file in desk.path.iterdir()}


def test_files_of_the_older_script_are_told(stand_in, path):
    (path / f'{"0a" * 16}.wl').write_bytes(b'old')
    stand_in.say(entries=worklist([]))
    done = publish(stand_in, path)
    assert done.returncode == 0
    assert "1 files" in done.stdout and "older version" in done.stdout
    assert (path / f'{"0a" * 16}.wl').read_bytes() == b'old'


# Polling, without a server

class Clock:
    now = 1000.0

    def __call__(self):
        return self.now


def test_update_asks_for_changes_and_sometimes_for_all(desk):
    asked, clock = [], Clock()
    answers = []

    def fetch(cursor, known):
        asked.append(cursor)
        value = answers.pop(0)
        if isinstance(value, Exception):
            raise value
        return value
    update = Update(
        fetch, desk.publisher, desk.messages, full_every=300, clock=clock)
    answers[:] = [
        answer([make_entry(1)], cursor='a'),
        answer([], full=False, cursor='b'),
        answer([make_entry(2)], full=False, cursor='c'),
        Unreachable("Gone.", True),
        answer([make_entry(1), make_entry(2)], cursor='d'),
        answer([], full=False, cursor='e'),
        answer([make_entry(1)], cursor='f'),
        ]
    update()
    update()
    update()
    with pytest.raises(Unreachable):
        update()
    update()
    update()
    clock.now += 301
    update()
    assert asked == [None, 'a', 'b', 'c', None, 'd', None]
    assert desk.names == ['gnuhealth-his-001-01-01.wl']
    told = [text for text in desk.messages.infos if "Worklist" in text]
    assert told == ["Worklist: 1 new.", "Worklist: 1 new.",
        "Worklist: 1 unchanged, 1 removed."]


def test_nothing_is_lost_when_publishing_fails(desk, monkeypatch):
    asked = []

    def fetch(cursor, known):
        asked.append(cursor)
        return answer([make_entry(1)], full=cursor is None)
    update = Update(fetch, desk.publisher, desk.messages)
    update()

    def fail():
        raise FolderFailure("Full.", True)
    monkeypatch.setattr(desk.folder, 'flush', fail)
    with pytest.raises(FolderFailure):
        update()
    monkeypatch.undo()
    update()
    assert asked == [None, '1', None]


class GnuHealth:
    "Answers as get_worklist_entries does, and notes what it sent."

    def __init__(self, *entries):
        self.entries = {entry['id']: entry for entry in entries}
        self.changed, self.sent = (), []

    def __call__(self, cursor, known):
        "Return the answer: all, or what changed when something is said of it."
        if cursor and self.changed and not known:
            return {**answer([], full=False, cursor=cursor),
                'ask': list(self.changed)}
        entries = {id_: entry for id_, entry in self.entries.items()
            if not cursor or id_ in self.changed}
        same = [id_ for id_, entry in entries.items()
            if len(known.get(str(id_), '')) >= 16
            and entry['digest'].startswith(known[str(id_)])]
        self.changed = ()
        self.sent.append([id_ for id_ in entries if id_ not in same])
        return answer([e for id_, e in entries.items() if id_ not in same],
            full=not cursor, same=same)


def test_only_what_differs_is_sent_to_the_script(desk):
    health = GnuHealth(*map(make_entry, [1, 2, 3]))

    def start():
        return Update(health, Publisher(
                desk.folder, 'his', make_maker(False), desk.messages),
            desk.messages)

    def look(update):
        update()
        return health.sent.pop(), {k: n for k, n in update.report.items() if n}
    update = start()
    assert look(update) == ([1, 2, 3], {'new': 3})
    health.changed, health.entries[2] = [1, 2], make_entry(2, name='New^Name')
    assert look(update) == ([2], {'changed': 1, 'unchanged': 1})
    assert look(update) == ([], {})
    # One that starts knows what is there, what is damaged, what others
    # removed, and what is new.
    health.entries[4] = make_entry(4)
    one, two, _ = sorted(desk.path.glob('*.wl'))
    one.unlink()
    two.write_bytes(two.read_bytes()[:-2])
    update = start()
    assert look(update) == (
        [2, 4], {'new': 1, 'changed': 1, 'unchanged': 1, 'held': 1})
    assert dcmread(two).PatientName == 'New^Name' and not one.exists()
    # What is no longer there goes, what is to be written again comes.
    del health.entries[3]
    update._full_at = None
    assert look(update) == ([], {'removed': 1, 'unchanged': 2, 'held': 1})
    update._full_at, update.regenerate = None, True
    assert look(update)[0] == [1, 2, 4] and one.exists()
    # A folder that others made anew is filled.
    for path in list(desk.path.iterdir()):
        path.unlink()
    desk.path.rename(desk.path.with_name('old'))
    desk.path.mkdir()
    update._full_at = None
    assert look(update) == ([1, 2, 4], {'new': 3})


# The command, with a real trytond

@pytest.fixture(scope='module')
def stand_in(tmp_path_factory):
    "A running trytond whose answers the test sets."
    stand_in = StandIn(tmp_path_factory.mktemp('trytond'))
    yield stand_in
    stand_in.server.stop()


def publish(stand_in, path, *arguments):
    "Run the script once; return its CompletedProcess."
    return run(WORKLISTS, *stand_in.options, '-w', path, *arguments,
        GNUHEALTH_PASSWORD=PASSWORD)


class Service:
    "The script in the background."

    def __init__(self, stand_in, path, *arguments):
        self.process = subprocess.Popen(
            [sys.executable, WORKLISTS, *stand_in.options, '-w', path, '-s',
                '0.1', *arguments],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env=environment(GNUHEALTH_PASSWORD=PASSWORD))

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.process.kill()
        self.process.communicate()

    def end(self):
        "End it by SIGTERM; return seconds, status, output and errors."
        start = time.monotonic()
        self.process.terminate()
        output, errors = self.process.communicate(timeout=20)
        return (time.monotonic() - start, self.process.returncode, output,
            errors)


def test_command(stand_in, path):
    stand_in.say(entries=worklist([make_entry(1), make_entry(2)]))
    stand_in.calls()
    done = publish(stand_in, path, '--aet', 'CT1', '--aet', 'CT2',
        '--modality', 'CT')
    assert (done.returncode, done.stderr) == (0, '')
    assert done.stdout == "Worklist: 2 new.\n"
    assert stand_in.calls() == [['entries', [None, {
                'aetitles': ['CT1', 'CT2'], 'modalities': ['CT'],
                'text': False, 'known': {}}]]]
    stand_in.say(entries=worklist([
                make_entry(2), make_entry(3, error="No template.")]))
    done = publish(stand_in, path, '-v', '-m')
    assert done.returncode == 1
    assert done.stderr == "003-01-01: No template.\n"
    assert "1 unchanged, 1 removed, 1 failed" in done.stdout
    assert stand_in.calls()[0][1][1]['done'] is True
    assert publish(stand_in, path, '-q').stdout == ''
    done = publish(stand_in, path, '-r')
    assert "1 changed" in done.stdout


def test_text_that_xml_cannot_carry(stand_in, path):
    stand_in.say(entries=worklist([
                make_entry(1, error="Bad \0 \x0b \x1b[31m."), make_entry(2)]))
    done = publish(stand_in, path)
    assert done.returncode == 1
    assert done.stderr == "001-01-01: Bad [31m.\n"
    assert len(list(path.glob('*.wl'))) == 1


def test_terminal_that_cannot_show_a_name(stand_in, path):
    stand_in.say(entries=worklist([make_entry(1, '\u738b')]))
    done = run(WORKLISTS, *stand_in.options, '-w', path, '-v',
        GNUHEALTH_PASSWORD=PASSWORD, PYTHONIOENCODING='ascii')
    assert (done.returncode, done.stderr) == (0, '')
    assert '\\u738b' in done.stdout


def test_dry_run_command(stand_in, path):
    stand_in.say(entries=worklist([make_entry(1)]))
    done = publish(stand_in, path, '--dry-run')
    assert done.stdout == "Would be done: 1 new.\n"
    assert not list(path.iterdir())


def test_poll_is_one_call(stand_in, path):
    stand_in.say(entries=worklist([make_entry(1)]))
    log = stand_in.server.log
    with Service(stand_in, path) as service:
        wait_for(lambda: list(path.glob('*.wl')))
        stand_in.say(entries=worklist([], full=False, cursor='2'))
        wait_for(lambda: any(
                since == '2' for _, (since, _) in stand_in.calls()))
        before = log.read_text().count('POST /')
        stand_in.calls()
        time.sleep(1)
        polls = len(stand_in.calls())
        requests = log.read_text().count('POST /') - before
        seconds, status, output, errors = service.end()
    assert polls >= 3
    assert abs(requests - polls) <= 1
    assert seconds < 5 and status == 0
    assert (output, errors) == ("Worklist: 1 new.\n", '')


def test_poll_survives_a_restart_of_the_server(stand_in, path):
    stand_in.say(entries=worklist([make_entry(1)]))
    with Service(stand_in, path) as service:
        wait_for(lambda: list(path.glob('*.wl')))
        stand_in.server.stop()
        time.sleep(2)
        stand_in.say(entries=worklist([make_entry(2)]))
        stand_in.server.start()
        wait_for(lambda: [
                file.name for file in path.glob('*.wl')] == [
                'gnuhealth-his-002-01-01.wl'.replace('his', DATABASE)], 40)
        wait_for(lambda: service.process.poll() is None)
        seconds, status, output, errors = service.end()
    assert seconds < 5 and status == 0
    first, last = errors.splitlines()
    assert first.endswith("Trying again until it works.")
    assert last == "It works again."


def test_poll_waits_for_the_server_at_start(stand_in, path):
    stand_in.say(entries=worklist([make_entry(1)]))
    stand_in.server.stop()
    try:
        with Service(stand_in, path) as service:
            assert "Trying again" in service.process.stderr.readline()
            stand_in.server.start()
            wait_for(lambda: list(path.glob('*.wl')), 40)
            assert service.end()[1] == 0
    finally:
        stand_in.server.start()


def test_poll_ends_with_a_wrong_password(stand_in, path):
    process = subprocess.run(
        [sys.executable, WORKLISTS, *stand_in.options, '-w', path, '-s', '1',
            '-u', 'nobody2'], timeout=60, capture_output=True, text=True,
        env=environment(GNUHEALTH_PASSWORD='wrong'))
    assert process.returncode == 4
    assert len(process.stderr.splitlines()) == 1


def test_poll_survives_a_folder_that_goes_away(stand_in, path):
    stand_in.say(entries=worklist([make_entry(1)]))
    with Service(stand_in, path, '--full-every', '0.1') as service:
        wait_for(lambda: list(path.glob('*.wl')))
        path.rename(path.with_name('away'))
        line = service.process.stderr.readline()
        assert "No such file" in line and "Trying again" in line
        path.mkdir()
        wait_for(lambda: list(path.glob('*.wl')), 40)
        assert service.process.stderr.readline() == "It works again.\n"
        seconds, status, _, errors = service.end()
    assert seconds < 5 and (status, errors) == (0, '')


def test_bad_entry_is_told_once_by_the_service(stand_in, path):
    stand_in.say(entries=worklist([make_entry(1, error="Bad.")]))
    with Service(stand_in, path, '--full-every', '0.1') as service:
        stand_in.calls()
        wait_for(lambda: len(stand_in.file.with_name(
                    'answers.json.calls').read_text().splitlines()) > 4
            if stand_in.file.with_name('answers.json.calls').exists()
            else False)
        _, status, _, errors = service.end()
    assert (status, errors) == (0, "001-01-01: Bad.\n")


# REST

class FakeRest:
    """A fake of the REST API of Orthanc's worklists plugin 0.9.2, as its
    documentation and release notes describe it; the real one could not be
    run here."""

    def __init__(self, prefix=''):
        self.worklists = {}
        self.studies = set()
        self.requests = []
        self.refuse = {}
        self.server = ThreadingHTTPServer(('127.0.0.1', 0), self._handler())
        self.url = f'http://127.0.0.1:{self.server.server_port}{prefix}'
        self.answers = {}
        threading.Thread(
            target=self.server.serve_forever, daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()

    def _handler(fake):
        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *arguments):
                pass

            def do(self):
                length = int(self.headers.get('Content-Length') or 0)
                body = self.rfile.read(length)
                status, value = fake.serve(self.command, self.path, body)
                data = json.dumps(value).encode()
                if isinstance(value, str):
                    data = value.encode()
                self.send_response(status)
                self.send_header('Content-Length', str(len(data)))
                self.end_headers()
                self.wfile.write(data)
            do_GET = do_PUT = do_POST = do_DELETE = do
        return Handler

    def serve(self, method, path, body):
        "Return status and answer."
        self.requests.append((method, path))
        path, _, query = path.partition('?')
        if (method, path) in self.answers:
            return 200, self.answers[method, path]
        if path == '/tools/lookup' and method == 'POST':
            uid = body.decode()
            return 200, [{'ID': 'x', 'Path': '/studies/x', 'Type': 'Study'}
                ] if uid in self.studies else []
        if path == '/worklists' and method == 'GET':
            assert query == 'format=Short'
            return 200, [{'ID': id_, 'Tags': tags}
                for id_, tags in self.worklists.items()]
        id_ = urllib.parse.unquote(path[len('/worklists/'):])
        if method == 'PUT':
            return self._put(id_, body)
        if id_ not in self.worklists:
            return 404, {'Message': 'Unknown resource'}
        if method == 'DELETE':
            del self.worklists[id_]
            return 200, {}
        return 405, ''

    def _put(self, id_, body):
        assert '/' not in id_
        tags = json.loads(body)['Tags']
        uid = tags.get('0020,000d')
        if uid in self.refuse:
            return 400, {'Details': self.refuse[uid]}
        assert all(
            isinstance(value, (str, list)) for value in tags.values())
        self.worklists[id_] = tags
        return 200, {'ID': id_, 'Path': f'/worklists/{id_}'}

    def written(self):
        "Return the paths that were written since the last time."
        written = [request for request in self.requests
            if request[0] in {'PUT', 'DELETE'}]
        self.requests.clear()
        return written


@pytest.fixture
def rest():
    rest = FakeRest()
    yield rest
    rest.close()


def rest_desk(rest, database='his', **options):
    "Return a publisher for the fake."
    target = RestWorklist(Orthanc(rest.url), database, **options)
    return Publisher(target, database, make_maker(False), Told())


def rest_apply(publisher, *arguments, regenerate=False, **values):
    report = publisher.apply(answer(*arguments, **values), regenerate)
    return {key: count for key, count in report.items() if count}


@pytest.mark.parametrize('charset', NAMES)
def test_rest_publish_change_and_remove(rest, charset):
    rest.worklists['5fdc7404'] = {'0010,0010': 'Of^Others'}
    rest.worklists['gnuhealth-other-1'] = {'0010,0010': 'Of^Others'}
    publisher = rest_desk(rest)
    entry = make_entry(1, name=NAMES[charset], charset=charset)
    assert rest_apply(publisher, [entry, make_entry(2)]) == {'new': 2}
    tags = rest.worklists['gnuhealth-his-001-01-01']
    assert tags['0010,0010'] == NAMES[charset]
    assert tags['0008,0005'] == 'ISO_IR 192'
    assert tags['0040,0100'][0]['0040,0001'] == 'CT1'
    rest.written()
    assert rest_apply(publisher, [entry, make_entry(2)]) == {'unchanged': 2}
    again = rest_desk(rest)
    assert rest_apply(again, [entry, make_entry(2)]) == {'unchanged': 2}
    assert rest.written() == []
    changed = make_entry(1, name='New^Name')
    assert rest_apply(publisher, [changed], full=False) == {'changed': 1}
    assert rest_apply(publisher, [], [{'id': 1, 'number': ''}], full=False
        ) == {'removed': 1}
    assert rest_apply(publisher, []) == {'removed': 1}
    assert set(rest.worklists) == {'5fdc7404', 'gnuhealth-other-1'}


def test_rest_does_not_publish_what_has_images(rest):
    publisher = rest_desk(rest)
    entry = make_entry(1)
    rest_apply(publisher, [entry, make_entry(2)])
    del rest.worklists['gnuhealth-his-001-01-01']
    rest.studies.add(entry['study_instance_uid'])
    rest.written()
    assert rest_apply(publisher, [entry, make_entry(2)]) == {
        'held': 1, 'unchanged': 1}
    assert rest.written() == []
    rest.studies.clear()
    assert rest_apply(publisher, [entry, make_entry(2)]) == {
        'new': 1, 'unchanged': 1}


def test_rest_finds_what_others_changed(rest):
    """Orthanc is asked for what it has, GNU Health for the rest."""
    publisher = rest_desk(rest)
    health = GnuHealth(*map(make_entry, [1, 2, 3]))
    update = Update(health, publisher, publisher.messages)

    def compare():
        update._full_at = None
        update()
        return health.sent.pop(), {k: n for k, n in update.report.items() if n}
    assert compare() == ([1, 2, 3], {'new': 3})
    assert compare() == ([], {'unchanged': 3})
    tags = rest.worklists['gnuhealth-his-001-01-01']
    rest.worklists['gnuhealth-his-001-01-01'] = {
        **tags, '0010,0010': 'Edited^By^Hand'}
    del rest.worklists['gnuhealth-his-002-01-01']
    assert compare() == ([1, 2], {'changed': 1, 'new': 1, 'unchanged': 1})
    assert rest.worklists['gnuhealth-his-001-01-01'] == tags
    assert compare() == ([], {'unchanged': 3})
    del health.entries[3]
    assert compare() == ([], {'unchanged': 2, 'removed': 1})
    assert compare() == ([], {'unchanged': 2})


def test_rest_one_entry_is_refused(rest):
    rest.refuse['2.25.1001'] = 'Bad file format'
    publisher = rest_desk(rest)
    assert rest_apply(publisher, [make_entry(1), make_entry(2)]) == {
        'failed': 1, 'new': 1}
    assert "Bad file format" in publisher.messages.errors[0]


def test_rest_dry_run(rest):
    publisher = rest_desk(rest, dry_run=True)
    assert rest_apply(publisher, [make_entry(1)]) == {'new': 1}
    assert rest.worklists == {}


def test_rest_entry_that_is_already_gone(rest):
    publisher = rest_desk(rest)
    rest_apply(publisher, [make_entry(1)])
    rest.worklists.clear()
    assert rest_apply(publisher, [], [{'id': 1, 'number': ''}], full=False
        ) == {'removed': 1}
    assert publisher.messages.errors == []


def test_rest_binary_value_is_refused(rest):
    dataset = dcmread(io.BytesIO(make_dicom('2.25.1001')))
    dataset.add_new(0x00420011, 'OB', b'xx')
    file = io.BytesIO()
    dataset.save_as(file)
    publisher = rest_desk(rest)
    assert rest_apply(
        publisher, [dict(make_entry(1), dicom=file.getvalue())]) == {
        'failed': 1}
    assert "binary" in publisher.messages.errors[0]


def test_rest_command(rest, stand_in, path):
    stand_in.say(entries=worklist([make_entry(1)]))
    done = publish(stand_in, path, '--orthanc-url', rest.url)
    assert (done.returncode, done.stdout) == (0, "Worklist: 1 new.\n")
    assert list(rest.worklists) == ['gnuhealth-health-001-01-01']
    assert not list(path.iterdir())


@pytest.mark.parametrize('value', [[5], {'a': 1}, "text", [{}]])
def test_rest_that_cannot_be_understood(rest, stand_in, path, value):
    rest.answers['GET', '/worklists'] = value
    stand_in.say(entries=worklist([make_entry(1)]))
    done = publish(stand_in, path, '--orthanc-url', rest.url)
    assert_one_sentence(done, 3, "cannot be understood")


def test_rest_server_is_down(rest, stand_in, path):
    rest.close()
    stand_in.say(entries=worklist([make_entry(1)]))
    done = publish(stand_in, path, '--orthanc-url', rest.url)
    assert_one_sentence(done, 3, "nothing listens", "Orthanc")


@pytest.mark.parametrize('there, tags, same', [
        ({'a': 'x '}, {'a': 'x'}, True),
        ({'a': 'x', 'b': ''}, {'a': 'x'}, True),
        ({'a': 'x'}, {'a': 'y'}, False),
        ({}, {'a': ''}, False),
        (None, {}, False),
        ({'s': [{'a': 'x'}]}, {'s': [{'a': 'x'}]}, True),
        ({'s': [{'a': 'x'}] * 2}, {'s': [{'a': 'x'}]}, False),
        ({'s': 'x'}, {'s': [{}]}, False),
        ({'a': None}, {'a': ''}, False),
        ])
def test_contains(there, tags, same):
    assert contains(there, tags) is same
