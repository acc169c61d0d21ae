# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Somebody attaches files to a result that cost memory and time to open, or
has a PACS send them: nothing of it is lost, and nobody waits for it."""
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest
import seed
from support import picture_bombs as bombs
from support.records import (
    PASSWORD, Rpc, RpcError, commit, make_attachment, make_institution,
    make_picture, make_radiologist, make_requested, make_result)

from trytond.modules.health_imaging import attachment_picture, pictures
from trytond.pool import Pool

ATTACHMENT = 'model.ir.attachment'
REPORT = 'report.patient.imaging_report_results.execute'
# What the machine of a test may need, which has other things to do.
SECONDS = 40


@pytest.fixture(scope='module')
def hospital(activated):
    "The radiologist, over RPC, and a result."
    def make():
        make_institution()
        make_radiologist(PASSWORD)
    commit(make)
    return Rpc('radiologist')


@pytest.fixture
def result(hospital):
    return commit(lambda: make_result(make_requested()).id)


@pytest.fixture(autouse=True)
def slots(monkeypatch, tmp_path):
    "The places for programs that open pictures, none of which is taken."
    monkeypatch.setattr(tempfile, 'tempdir', str(tmp_path))
    return pictures._slots


def attach(rpc, result, name, data):
    "Attach a file to a result, and return the id of the attachment."
    id_, = rpc(f'{ATTACHMENT}.create', [{
                'name': name, 'type': 'data', 'data': data,
                'resource': f'gnuhealth.imaging.test.result,{result}'}])
    return id_


def read(rpc, id_, *names):
    row, = rpc(f'{ATTACHMENT}.read', [id_], list(names))
    return row if len(names) > 1 else row[names[0]]


# Who attaches one


@pytest.mark.parametrize('name', bombs.BOMBS)
def test_what_is_attached_is_opened_once_and_kept_whole(
        hospital, result, name):
    make, known = bombs.BOMBS[name]
    data = make()
    started = time.monotonic()
    id_ = attach(hospital, result, name, data)
    assert time.monotonic() - started < SECONDS
    row = read(hospital, id_, 'data', 'imaging_picture', 'imaging_thumbnail')
    assert row['data'] == data
    assert row['imaging_picture'] in known
    assert bool(row['imaging_thumbnail']) == (row['imaging_picture'] == 'kept')


def test_few_are_opened_at_once(slots):
    """Four people attach one each: no more programs than there are places."""
    data, seen, over = bombs.deep_png(), [], threading.Event()

    def watch():
        while not over.is_set():
            seen.append(len(children('picture_decoder')))
            time.sleep(0.01)
    watcher = threading.Thread(target=watch)
    watcher.start()
    with ThreadPoolExecutor(4) as pool:
        made = list(pool.map(
                lambda _: pictures.render(data, [(99, 99)], wait=SECONDS),
                range(4)))
    over.set()
    watcher.join()
    assert [m.size for m in made] == [(5600, 5700)] * 4
    assert max(seen) == pictures.AT_ONCE


def children(word):
    "Return the ids of processes of this one with a word in their command."
    found = []
    for path in Path('/proc').glob('[0-9]*'):
        try:
            parent = (path / 'stat').read_text().rpartition(')')[2].split()[1]
            command = (path / 'cmdline').read_bytes()
        except OSError:
            continue
        if int(parent) == os.getpid() and word.encode() in command:
            found.append(int(path.name))
    return found


def test_when_too_many_are_opened_nothing_is_lost(
        hospital, result, slots, monkeypatch):
    """It is attached all the same, and opened later."""
    monkeypatch.setattr(attachment_picture.pictures, 'WAIT', 0)
    monkeypatch.setattr(
        attachment_picture.KeptPictures._look, '__defaults__', (0,))
    data = make_picture(size=(900, 900), kind='TIFF')
    with slots.hold(1), slots.hold(1):
        id_ = attach(hospital, result, 'scan.tiff', data)
        assert read(hospital, id_, 'imaging_picture') is None
        assert read(hospital, id_, 'imaging_thumbnail') is None
        with pytest.raises(RpcError) as error:
            hospital(REPORT, [result], {})
        assert "cannot be opened now" in error.value.message
    commit(lambda: Pool().get('ir.attachment').keep_imaging_pictures())
    assert read(hospital, id_, 'imaging_picture') == 'kept'
    assert read(hospital, id_, 'imaging_thumbnail')


@pytest.mark.parametrize('script, known', [
        ('kill -SEGV $$', 'damaged'), ('kill -XCPU $$', 'effort'),
        ('kill -KILL $$', 'effort'), ('exit 1', None), (None, None)])
def test_a_program_that_dies_takes_nothing_with_it(
        hospital, result, tmp_path, monkeypatch, script, known):
    program = tmp_path / 'python'
    if script:
        program.write_text(f'#!/bin/sh\n{script}\n')
        program.chmod(0o755)
    monkeypatch.setattr(pictures, 'python', lambda: str(program))
    data = make_picture(kind='TIFF')
    id_ = attach(hospital, result, 'scan.tiff', data)
    row = read(hospital, id_, 'data', 'imaging_picture')
    assert (row['data'], row['imaging_picture']) == (data, known)


def test_a_program_that_hangs_is_ended(tmp_path, monkeypatch):
    program = tmp_path / 'python'
    program.write_text('#!/bin/sh\nexec sleep 600\n')
    program.chmod(0o755)
    monkeypatch.setattr(pictures, 'python', lambda: str(program))
    monkeypatch.setattr(pictures, 'PATIENCE', 0.5)
    with pytest.raises(pictures.Busy):
        pictures.render(make_picture(kind='TIFF'), [(9, 9)])
    assert not children('600')


# Who changes one


def test_a_replaced_file_is_opened_anew(hospital, result):
    id_ = attach(hospital, result, 'a.png', make_picture(size=(90, 30)))
    printed = ['imaging_picture', 'imaging_print', 'imaging_thumbnail']
    before = read(hospital, id_, *printed)
    assert pictures.png_size(before['imaging_print']) == (90, 30)
    hospital(f'{ATTACHMENT}.write', [id_],
        {'data': make_picture(size=(30, 60))})
    after = read(hospital, id_, *printed)
    assert pictures.png_size(after['imaging_print']) == (30, 60)
    assert pictures.png_size(after['imaging_thumbnail']) == (30, 60)
    hospital(f'{ATTACHMENT}.write', [id_], {'data': b'%PDF-1.4'})
    assert read(hospital, id_, *printed) == {
        'id': id_, 'imaging_picture': 'none', 'imaging_print': None,
        'imaging_thumbnail': None}


def test_a_picture_that_leaves_the_result_is_not_kept(hospital, result):
    patient = commit(lambda: Pool().get('gnuhealth.patient').search([])[0].id)
    id_ = attach(hospital, result, 'a.png', make_picture())
    resource = f'gnuhealth.patient,{patient}'
    hospital(f'{ATTACHMENT}.write', [id_], {'resource': resource})
    assert read(hospital, id_, 'imaging_print') is None
    assert read(hospital, id_, 'imaging_thumbnail') is None
    hospital(f'{ATTACHMENT}.write', [id_], {
            'resource': f'gnuhealth.imaging.test.result,{result}'})
    assert read(hospital, id_, 'imaging_picture') == 'kept'


@pytest.mark.parametrize('values', [
        {'imaging_print': make_picture()}, {'imaging_small': make_picture()},
        {'imaging_picture': 'kept'}, {'imaging_print_id': 'ab' * 16},
        {'imaging_small_id': 'ab' * 16}])
def test_nobody_puts_another_picture_on_the_page(hospital, result, values):
    """What is printed is the file, whatever else a client sends."""
    id_ = attach(hospital, result, 'a.png', make_picture())
    with pytest.raises(RpcError) as error:
        hospital(f'{ATTACHMENT}.write', [id_], values)
    assert "filled in by the system" in error.value.message
    with pytest.raises(RpcError) as error:
        hospital(f'{ATTACHMENT}.create', [{
                    'name': 'b.png', 'data': make_picture(), **values,
                    'resource': f'gnuhealth.imaging.test.result,{result}'}])
    assert "filled in by the system" in error.value.message


def test_a_copy_has_its_own_picture(hospital, result):
    id_ = attach(hospital, result, 'a.png', make_picture(size=(90, 30)))
    copy, = hospital(f'{ATTACHMENT}.copy', [id_])
    assert read(hospital, copy, 'imaging_picture') == 'kept'
    assert pictures.png_size(
        read(hospital, copy, 'imaging_print')) == (90, 30)


# What was attached before


def forget(id_):
    "Let an attachment be one of a former release."
    def make():
        Attachment = Pool().get('ir.attachment')
        Attachment(id_)._store(dict.fromkeys(
                ['imaging_picture', 'imaging_small', 'imaging_print']))
    commit(make)


def test_former_pictures_are_shown_at_once_and_kept_later(hospital):
    """Also those of signed results, and nobody changed them."""
    def make():
        result = make_result(make_requested(), comment="No fracture.")
        return result.id, make_attachment(result).id
    result, id_ = commit(make)
    hospital('model.gnuhealth.imaging.test.result.finalize', [result])
    forget(id_)
    before = read(
        hospital, id_, 'write_date', 'write_uid', 'imaging_thumbnail')
    assert before['imaging_thumbnail'].startswith(b'\x89PNG')
    extension, content, *_ = hospital(REPORT, [result], {})
    assert b'/Subtype/Image' in content
    assert read(hospital, id_, 'imaging_picture') is None
    commit(lambda: Pool().get('ir.attachment').keep_imaging_pictures())
    assert read(hospital, id_, 'imaging_picture') == 'kept'
    assert read(
        hospital, id_, 'write_date', 'write_uid', 'imaging_thumbnail'
        ) == before


def test_a_missing_file_is_looked_for_again(hospital, result, files):
    id_ = attach(hospital, result, 'a.png', make_picture(text='only one'))
    forget(id_)
    from trytond.filestore import filestore
    file_id = read(hospital, id_, 'file_id')
    path = Path(filestore._filename(
            file_id, commit(lambda: Pool().database_name)))
    content = path.read_bytes()
    path.unlink()
    commit(lambda: Pool().get('ir.attachment').keep_imaging_pictures())
    assert read(hospital, id_, 'imaging_picture') is None
    path.write_bytes(content)
    commit(lambda: Pool().get('ir.attachment').keep_imaging_pictures())
    assert read(hospital, id_, 'imaging_picture') == 'kept'


# Who opens the result


HOSTILE = ['a.jp2', 'deep.png', 'scans.jpg', 'texts.png']
SHOWN = ['imaging_thumbnail', 'imaging_caption', 'imaging_picture', 'name']


def peak(server):
    "Return the most memory a server had since the last call, in MiB."
    folder = Path('/proc', str(server.pid))
    lines = (folder / 'status').read_text().splitlines()
    values = dict(line.split(':', 1) for line in lines if ':' in line)
    (folder / 'clear_refs').write_text('5')
    return int(values['VmHWM'].split()[0]) / 1024


def cost(server, call):
    "Return how long a call took in seconds, and how many MiB it needed."
    peak(server)
    before, started = peak(server), time.monotonic()
    call()
    return time.monotonic() - started, peak(server) - before


def make_hostile(rpc):
    patient, = rpc('model.gnuhealth.patient.search', [], 0, 1, None)
    exam, = rpc('model.gnuhealth.imaging.test.search', [], 0, 1, None)
    doctor, = rpc('model.gnuhealth.healthprofessional.search', [], 0, 1, None)
    result, = rpc('model.gnuhealth.imaging.test.result.create', [{
                'patient': patient, 'requested_test': exam,
                'doctor': doctor}])
    return [attach(rpc, result, n, bombs.BOMBS[n][0]()) for n in HOSTILE]


def test_a_result_with_hostile_files_opens_at_once(trytond_server, database):
    """Half a second and 150 MiB, on a server of its own, also when they were
    attached with a former release."""
    server = trytond_server
    rpc = Rpc('radiologist', seed.PASSWORD, f'{server.url}/{server.database}/')
    ids = make_hostile(rpc)

    def look():
        return [row['imaging_picture']
            for row in rpc(f'{ATTACHMENT}.read', ids, SHOWN)]
    look()
    seconds, memory = cost(server, look)
    assert seconds < 0.5 and memory < 150
    with closing(database.connect()) as connection:
        connection.cursor().execute(
            "UPDATE ir_attachment SET imaging_picture = NULL, "
            "imaging_small = NULL, imaging_small_id = NULL, "
            "imaging_print = NULL, imaging_print_id = NULL")
        connection.commit()
    seconds, memory = cost(server, look)
    assert look() == [None] * 4
    assert seconds < 0.5 and memory < 150


# What a PACS sends


_MEASURED = r'''
import json, re, sys, threading, time
from trytond.modules.health_orthanc import pictures
from trytond.modules.health_orthanc.archive.orthanc import BadAnswer
contents = [open(name, 'rb').read() for name in sys.argv[1:]]
def peak():
    # getrusage would tell that of the process that started this one.
    status = open('/proc/self/status').read()
    return int(re.search(r'VmHWM:\s*(\d+)', status)[1])
before = peak()
answers = []
def view(content):
    try:
        answers.append(len(pictures.check(content, 1024)[0]))
    except (BadAnswer, pictures.pictures.Busy):
        answers.append(None)
views = [threading.Thread(target=view, args=[c]) for c in contents]
started = time.monotonic()
[v.start() for v in views]
[v.join() for v in views]
print(json.dumps([time.monotonic() - started, answers,
    (peak() - before) / 1024]))
'''


@pytest.mark.parametrize('name', ['wide.png', 'deep.png', 'scans.jpg',
        'texts.png', 'pieces.png'])
def test_previews_of_four_viewers_are_bounded(tmp_path, name):
    path = tmp_path / name
    path.write_bytes(bombs.BOMBS[name][0]())
    done = subprocess.run([sys.executable, '-W', 'ignore', '-c', _MEASURED,
            *[path] * 4], check=True, capture_output=True, text=True,
        env={**os.environ, 'TMPDIR': str(tmp_path)})
    seconds, answers, memory = json.loads(done.stdout)
    assert len(answers) == 4
    assert seconds < SECONDS and memory < 150
