# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Somebody puts a named pipe, a link, a socket or a folder where a script
expects a file of its own, or waits for it to print a name or a password.

The scripts end with one clear sentence: they do not hang, follow no link, show
no traceback, and change nothing outside of their folder.
"""
import contextlib
import importlib.util
import io
import json
import logging
import os
import signal
import socket
import sqlite3
import stat
import subprocess
import sys
import threading
import time
import warnings
from pathlib import Path

import pytest
from unit.test_script_connection import (
    DATABASE, PASSWORD, ROOT, SYNC, WORKLISTS, assert_one_sentence,
    environment, folder, run, stand_in, wait_for, worklist)
from unit.test_worklist_script import (
    LOCK, TEMPORARY, make_dump, make_entry, rest, rest_apply, rest_desk)

UPGRADE = ROOT / 'his-utils' / 'scripts' / 'upgrade_utils'
MIGRATE = UPGRADE / '5.0' / 'migrate_orthanc_module.py'
DOCTOR = UPGRADE / 'doctor.py'
RECORD = f'.gnuhealth-worklist-{DATABASE}.json'
LEFT_OVER = '{}abc{}'.format(*TEMPORARY)
ENTRY = f'gnuhealth-{DATABASE}-001-01-01.wl'
# No script may take this long, however it is trapped.
SECONDS = 30
NAME = 'Zzyzx^Quilla'
OTHERS = 65534
is_root = os.geteuid() == 0
pretence = pytest.MonkeyPatch()

__all__ = ['folder', 'rest', 'stand_in']


@pytest.fixture(autouse=True)
def no_longer():
    "What the scripts are made to believe ends with the test."
    yield
    pretence.undo()


@pytest.fixture
def outside(tmp_path):
    "A file that no script may touch."
    file = tmp_path / 'outside'
    file.write_text('{"1": ["a", "b", "c"]}')
    return file


def make_socket(path):
    with socket.socket(socket.AF_UNIX) as listener:
        # Its address may not be long.
        former = os.getcwd()
        os.chdir(path.parent)
        try:
            listener.bind(path.name)
        finally:
            os.chdir(former)


def give_away(path):
    "Give a file to another user; only root can, others let it seem so."
    if is_root:
        os.chown(path, OTHERS, OTHERS)
        return
    given = path.stat().st_ino
    for name in ['stat', 'lstat', 'fstat']:
        def look(*arguments, look=getattr(os, name), **options):
            status = look(*arguments, **options)
            if status.st_ino == given:
                return os.stat_result(
                    [*status[:4], os.geteuid() + 1, *status[5:]])
            return status
        pretence.setattr(os, name, look)


def foreign(path, outside):
    path.write_text('{}')
    path.chmod(0o666)
    give_away(path)


TRAPS = {
    'pipe': lambda path, outside: os.mkfifo(path),
    'folder': lambda path, outside: path.mkdir(),
    'link': lambda path, outside: path.symlink_to(outside),
    'dangling': lambda path, outside: path.symlink_to(outside.parent / 'no'),
    'zeros': lambda path, outside: path.symlink_to('/dev/zero'),
    'loop': lambda path, outside: path.symlink_to(path.name),
    'socket': lambda path, outside: make_socket(path),
    'hard link': lambda path, outside: os.link(outside, path),
    }
SINGLE = [pytest.param(set_, id=name) for name, set_ in TRAPS.items()]
FOREIGN = pytest.param(foreign, id='another owner')


def kind_of(path):
    status = os.lstat(path)
    return stat.S_IFMT(status.st_mode), status.st_ino, status.st_uid


@contextlib.contextmanager
def untouched(trap, outside):
    "What was set is there afterwards, and nothing outside has changed."
    text, before = outside.read_text(), kind_of(trap)
    siblings = sorted(outside.parent.iterdir())
    yield
    assert kind_of(trap) == before
    assert outside.read_text() == text
    assert sorted(outside.parent.iterdir()) == siblings


def load(path):
    "Return a script as a module."
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


MAINS = {script: load(script) for script in [
        WORKLISTS, SYNC, MIGRATE, DOCTOR]}


@contextlib.contextmanager
def in_time():
    "Whatever waits longer than a script may is interrupted, and fails."
    def give_up(number, frame):
        pytest.fail("It hangs.")
    numbers = [
        signal.SIGUSR1, signal.SIGTERM, signal.SIGINT, signal.SIGHUP]
    former = {number: signal.getsignal(number) for number in numbers}
    signal.signal(signal.SIGUSR1, give_up)
    timer = threading.Timer(
        SECONDS, os.kill, [os.getpid(), signal.SIGUSR1])
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        for number, handler in former.items():
            signal.signal(number, handler)


def quick(script, *arguments, **values):
    "Run a script as `run` does, in this process; see there."
    output, errors = io.StringIO(), io.StringIO()
    environ, level = dict(os.environ), logging.getLogger('pydicom').level
    try:
        os.environ.clear()
        os.environ.update(environment(**values))
        with in_time(), warnings.catch_warnings(), contextlib.redirect_stdout(
                output), contextlib.redirect_stderr(errors):
            status = MAINS[script].main(list(map(str, arguments)))
    finally:
        os.environ.clear()
        os.environ.update(environ)
        logging.getLogger('pydicom').setLevel(level)
    done = subprocess.CompletedProcess(
        arguments, status, output.getvalue(), errors.getvalue())
    assert 'Traceback' not in done.stderr
    assert PASSWORD not in done.stdout + done.stderr
    return done


def publish(stand_in, folder, *arguments, run=quick, **values):
    return run(WORKLISTS, *stand_in.options, '-w', folder, *arguments,
        GNUHEALTH_PASSWORD=PASSWORD, **values)


# The folder

@pytest.mark.parametrize('set_', [*SINGLE, FOREIGN])
@pytest.mark.parametrize('name', [LOCK, RECORD, LEFT_OVER])
def test_names_of_the_script_are_trapped(
        stand_in, folder, outside, name, set_):
    stand_in.say(entries=worklist([make_entry(1)]))
    set_(folder / name, outside)
    with untouched(folder / name, outside):
        done = publish(stand_in, folder)
    assert_one_sentence(done, 5, name, str(folder))
    assert not list(folder.glob('*.wl'))


@pytest.mark.parametrize('set_', SINGLE)
@pytest.mark.parametrize('options', [[], ['--dry-run'], ['-r']])
def test_entry_is_trapped(stand_in, folder, outside, set_, options):
    stand_in.say(entries=worklist([make_entry(1), make_entry(2)]))
    set_(folder / ENTRY, outside)
    with untouched(folder / ENTRY, outside):
        done = publish(stand_in, folder, *options)
    assert done.returncode == 1
    line, = done.stderr.splitlines()
    assert line.startswith("001-01-01: ") and "in the way" in line
    assert "1 new, 1 failed" in done.stdout


@pytest.mark.parametrize('set_', SINGLE)
def test_record_is_trapped_for_a_dry_run(stand_in, folder, outside, set_):
    stand_in.say(entries=worklist([make_entry(1)]))
    set_(folder / RECORD, outside)
    with untouched(folder / RECORD, outside):
        done = publish(stand_in, folder, '--dry-run')
    assert done.returncode in {0, 5}
    assert len(done.stderr.splitlines()) <= 1


def test_entry_of_another_owner_is_replaced_or_told(stand_in, folder):
    stand_in.say(entries=worklist([make_entry(1)]))
    assert publish(stand_in, folder).returncode == 0
    give_away(folder / ENTRY)
    stand_in.say(entries=worklist([make_entry(1, name='New^Name')]))
    assert publish(stand_in, folder).returncode == 0
    assert (folder / ENTRY).stat().st_uid == os.geteuid()


@pytest.mark.parametrize('text', [
        '[' * 200_000, '{"1": ["a", "b", "c"]' + ' ' * 100, '{"1": 5}',
        '{"%s": ["a", "b", "c"]}' % ('9' * 5000), '\0' * 1000])
def test_record_is_damaged(stand_in, folder, text):
    stand_in.say(entries=worklist([make_entry(1)]))
    (folder / RECORD).write_text(text)
    done = publish(stand_in, folder)
    assert (done.returncode, done.stderr) == (0, '')
    assert json.loads((folder / RECORD).read_text()).keys() == {'1'}


def test_record_is_endless(stand_in, folder):
    stand_in.say(entries=worklist([make_entry(1)]))
    with open(folder / RECORD, 'wb') as file:
        file.truncate(1 << 30)
    assert_one_sentence(publish(stand_in, folder), 5, RECORD, "more than")


@pytest.mark.parametrize('name, set_', [
        (RECORD, TRAPS['pipe']), (RECORD, TRAPS['zeros']),
        (ENTRY, TRAPS['pipe']), (LEFT_OVER, TRAPS['link'])])
def test_trap_while_it_runs(stand_in, folder, outside, set_, name):
    stand_in.say(entries=worklist([make_entry(1)]))
    process = subprocess.Popen(
        [sys.executable, WORKLISTS, *stand_in.options, '-w', folder, '-s',
            '0.1', '--full-every', '0.1'],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env=environment(GNUHEALTH_PASSWORD=PASSWORD))
    try:
        wait_for(lambda: (folder / RECORD).exists())
        (folder / name).unlink(missing_ok=True)
        set_(folder / name, outside)
        stand_in.say(entries=worklist([
                    make_entry(1, name='New^Name'), make_entry(2)]))
        wait_for(lambda: list(folder.glob('*002-01-01.wl')))
        time.sleep(0.5)
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=5)
    finally:
        process.kill()
        process.communicate()
    assert process.returncode == 0 and 'Traceback' not in errors
    assert outside.read_text() == '{"1": ["a", "b", "c"]}'


def test_folder_that_may_not_be_written(stand_in, folder, tmp_path):
    stand_in.say(entries=worklist([make_entry(1)]))
    folder.chmod(0o555)
    with without_rights():
        done = publish(stand_in, folder)
    assert_one_sentence(done, 5, "Permission denied", str(folder))
    assert not list(folder.iterdir())


@contextlib.contextmanager
def without_rights():
    "Be another user than root, who may write everywhere."
    if not is_root:
        yield
        return
    os.seteuid(OTHERS)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.mark.parametrize('set_', [
        pytest.param(TRAPS[name], id=name)
        for name in ['pipe', 'dangling', 'zeros', 'loop', 'socket', 'link']])
def test_folder_itself_is_trapped(stand_in, tmp_path, outside, set_):
    set_(tmp_path / 'trap', outside)
    with untouched(tmp_path / 'trap', outside):
        done = publish(stand_in, tmp_path / 'trap')
    assert_one_sentence(done, 5, "trap")


def test_check_meets_traps(stand_in, make_orthanc, outside):
    orthanc = make_orthanc(modalities={'ct': 'CT1'})
    stand_in.say(entries=worklist([make_entry(1)]), exams=[])
    publish(stand_in, orthanc.worklists)
    for number, set_ in enumerate(TRAPS.values()):
        set_(orthanc.worklists / f'trap{number}.wl', outside)
    with in_time():
        done = publish(
            stand_in, orthanc.worklists, '--check', '--orthanc-url',
            orthanc.url, ORTHANC_USER=orthanc.user, run=run,
            ORTHANC_PASSWORD=orthanc.password)
    assert done.returncode == 1
    line, = done.stderr.splitlines()
    assert line.startswith("WRONG: 8 of them cannot be read: trap0.wl, ")


# Passwords

def loose(mode):
    def set_(path, outside):
        path.write_text(PASSWORD)
        path.chmod(mode)
    return pytest.param(set_, id=f'mode {mode:03o}')


def sparse(path, outside):
    path.touch(mode=0o600)
    os.truncate(path, 1 << 30)


def binary(path, outside):
    path.touch(mode=0o600)
    path.write_bytes(b'\xff\xfe\0')


def empty(path, outside):
    path.touch(mode=0o600)


def blank_line(path, outside):
    path.touch(mode=0o600)
    path.write_text(f'\n{PASSWORD}')


BAD_PASSWORD_FILES = [
    *SINGLE[:2], *SINGLE[3:7], FOREIGN, *map(loose, [
            0o640, 0o604, 0o644, 0o620, 0o602, 0o601, 0o666, 0o777]),
    sparse, binary, empty, blank_line]
SCRIPTS = [
    (WORKLISTS, ['-w', '/no/such']), (SYNC, ['--all']), (MIGRATE, ['-n'])]


@pytest.mark.parametrize('set_', BAD_PASSWORD_FILES)
@pytest.mark.parametrize('by', ['option', 'environment'])
@pytest.mark.parametrize('script, more', SCRIPTS)
def test_password_file(tmp_path, outside, script, more, by, set_):
    file = tmp_path / 'password'
    set_(file, outside)
    option, values = [], {}
    if by == 'option':
        option = ['--password-file', file]
    else:
        values['GNUHEALTH_PASSWORD_FILE'] = str(file)
    with untouched(file, outside):
        done = quick(
            script, '-d', DATABASE, '-p', '1', *option, *more, **values)
    assert_one_sentence(done, 2, str(file))


def test_password_that_others_can_read_says_what_to_do(tmp_path):
    file = tmp_path / 'password'
    file.write_text(PASSWORD)
    file.chmod(0o640)
    arguments = ['-d', DATABASE, '-p', '1', '--all', '--password-file', file]
    assert_one_sentence(run(SYNC, *arguments), 2, "chmod 600")
    file.chmod(0o400)
    assert_one_sentence(run(SYNC, *arguments), 3, "nothing listens")
    (tmp_path / 'link').symlink_to(file)
    arguments[-1] = tmp_path / 'link'
    assert_one_sentence(run(SYNC, *arguments), 3, "nothing listens")


@pytest.mark.parametrize('by', ['option', 'environment'])
@pytest.mark.parametrize('set_', BAD_PASSWORD_FILES)
def test_password_file_of_orthanc(tmp_path, outside, set_, by):
    file = tmp_path / 'password'
    set_(file, outside)
    option, values = [], {}
    if by == 'option':
        option = ['--orthanc-password-file', file]
    else:
        values['ORTHANC_PASSWORD_FILE'] = str(file)
    done = quick(WORKLISTS, '-d', DATABASE, '-p', '1', '--check', *option,
        GNUHEALTH_PASSWORD='x', **values)
    assert_one_sentence(done, 2, str(file))


@pytest.mark.parametrize('set_', [*SINGLE[:2], *SINGLE[3:7]])
def test_file_of_authorities(tmp_path, outside, set_):
    file = tmp_path / 'authorities'
    set_(file, outside)
    done = quick(WORKLISTS, '-d', DATABASE, '--url', 'https://localhost:1',
        '--ca-file', file, GNUHEALTH_PASSWORD='x')
    assert_one_sentence(done, 2, str(file))


def test_endless_password_on_standard_input():
    with open('/dev/zero', 'rb') as stdin:
        done = run(SYNC, '-d', DATABASE, '-p', '1', '--all',
            '--password-file', '-', stdin=stdin, timeout=SECONDS)
    assert done.returncode in {2, 3} and len(done.stderr.splitlines()) == 1


# Reports and configurations

@pytest.mark.parametrize('set_', [*SINGLE, FOREIGN])
def test_report_of_the_migration(stand_in, tmp_path, outside, set_):
    file = tmp_path / 'links.csv'
    set_(file, outside)
    with untouched(file, outside):
        done = quick(MIGRATE, *stand_in.options, '--csv', file,
            GNUHEALTH_PASSWORD=PASSWORD)
    assert_one_sentence(done, 5, str(file))


def test_report_that_others_could_read_is_closed(stand_in, tmp_path):
    file = tmp_path / 'links.csv'
    file.write_text('old')
    file.chmod(0o644)
    quick(MIGRATE, *stand_in.options, '--csv', file,
        GNUHEALTH_PASSWORD=PASSWORD)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert file.read_text().startswith('outcome,')


@pytest.fixture
def hospital(tmp_path):
    "A configuration of trytond, and the least database that is examined."
    file = tmp_path / 'his.sqlite'
    with contextlib.closing(sqlite3.connect(file)) as database:
        database.execute(
            'CREATE TABLE gnuhealth_imaging_test_request (id INTEGER)')
        database.commit()
    configuration = tmp_path / 'trytond.conf'
    configuration.write_text(f'[database]\npath = {tmp_path}\n')
    return configuration


def doctor(configuration, *arguments):
    "Run doctor.py; its counts are beside the configuration."
    database = os.environ.pop('TRYTOND_DATABASE_URI', None)
    file = Path(configuration).parent / 'upgrade.json'
    try:
        return quick(DOCTOR, '-c', configuration, '-d', 'his', '--file', file,
            *arguments)
    finally:
        if database:
            os.environ['TRYTOND_DATABASE_URI'] = database


@pytest.mark.parametrize('set_', [*SINGLE[:2], *SINGLE[3:7], sparse, binary])
def test_configuration_of_the_doctor(tmp_path, outside, set_):
    file = tmp_path / 'trytond.conf'
    set_(file, outside)
    done = doctor(file, 'before')
    assert_one_sentence(done, 2, str(file))


@pytest.mark.parametrize('text', [
        '[database]\nuri = postgresql://u:secret7@host:port/\n',
        '[database]\nuri = postgresql://[host\n',
        'uri = postgresql://u:secret7@host\n',
        '[database]\nuri = x\nuri = y\n'])
def test_configuration_is_wrong(tmp_path, text):
    file = tmp_path / 'trytond.conf'
    file.write_text(text)
    file.chmod(0o640)
    done = doctor(file, 'before')
    assert_one_sentence(done, 2)
    assert 'secret7' not in done.stderr


@pytest.mark.parametrize('line', [
        'uri = postgresql://me:secret7@localhost/', 'fernet_key = secret7'])
def test_doctor_says_who_reads_the_configuration(hospital, line):
    with open(hospital, 'a') as file:
        file.write(f'[other]\n{line}\n')
    hospital.chmod(0o644)
    done = doctor(hospital, 'before')
    assert len(done.stderr.splitlines()) == 1
    assert f"chmod 640 {hospital}" in done.stderr
    assert 'secret7' not in done.stderr + done.stdout
    hospital.chmod(0o640)
    assert doctor(hospital, 'before').stderr == ''


@pytest.mark.parametrize('set_', [*SINGLE, FOREIGN])
def test_counts_of_the_doctor_are_not_written_there(
        hospital, tmp_path, outside, set_):
    file = tmp_path / 'counts'
    set_(file, outside)
    with untouched(file, outside):
        done = doctor(hospital, '--file', file, 'before')
    assert done.returncode == 5
    assert len(done.stderr.splitlines()) == 1 and str(file) in done.stderr


@pytest.mark.parametrize('set_', [
        *SINGLE[:2], *SINGLE[3:7], sparse, binary, empty])
def test_counts_of_the_doctor_are_not_read_there(
        hospital, tmp_path, outside, set_):
    file = tmp_path / 'counts'
    set_(file, outside)
    done = doctor(hospital, '--file', file, 'after')
    assert done.returncode == 5
    assert len(done.stderr.splitlines()) == 1 and str(file) in done.stderr


# Names and passwords in what is printed

def assert_nameless(done):
    for part in NAME.split('^'):
        assert part not in done.stdout + done.stderr


@pytest.mark.parametrize('entry', [
        make_entry(1, name=NAME),
        make_entry(1, error='The template "X" makes no correct entry.\n'
            f'line 3, PatientName: "{NAME}" has letters.'),
        dict(make_entry(1, name=NAME), study_instance_uid='2.25.5'),
        dict(make_entry(1, name=NAME),
            dicom=make_entry(1, name=NAME)['dicom'][:-3]),
        dict(make_entry(1), dicom=make_entry(1, name=NAME)['dicom'].replace(
                b'PN', b'DA')),
        dict(make_entry(1), dicom=make_entry(1, name=NAME)['dicom'].replace(
                b'20261121', b'Zzyzx   ')),
        ], ids=['good', 'error', 'other', 'short', 'kind', 'date'])
@pytest.mark.parametrize('options', [[], ['-v']])
def test_names_are_not_printed(stand_in, folder, entry, options):
    stand_in.say(entries=worklist([entry]))
    done = publish(stand_in, folder, *options, run=run)
    assert_nameless(done)
    assert '001-01-01' in done.stderr or done.returncode == 0


@pytest.mark.parametrize('text', [
        f'(0010,0010) PN [{NAME}\n', f'{NAME}\n', f'(0010,0010) XX [{NAME}]',
        f'(0010,0010) DA [{NAME}]\n(zzzz,0010) PN [{NAME}]'])
def test_dump2dcm_does_not_repeat_names(stand_in, folder, text):
    stand_in.say(entries=worklist([dict(make_dump(), text=text)]))
    done = publish(stand_in, folder, '--with-dump2dcm', run=run)
    assert done.returncode == 1 and done.stderr.startswith("001-01-01: ")
    assert_nameless(done)


def test_orthanc_does_not_repeat_names(rest):  # noqa: F811
    rest.refuse['2.25.1001'] = f"Bad value \"{NAME}\" of Zzyzx"
    publisher = rest_desk(rest)
    assert rest_apply(publisher, [make_entry(1, name=NAME)]) == {'failed': 1}
    text, = publisher.messages.errors
    assert "Bad value" in text
    assert 'Zzyzx' not in text and 'Quilla' not in text


def test_check_does_not_print_names(stand_in, make_orthanc):
    orthanc = make_orthanc(modalities={'ct': 'CT1'})
    stand_in.say(entries=worklist([make_entry(1, name=NAME)]), exams=[])
    publish(stand_in, orthanc.worklists)
    file, = orthanc.worklists.glob('*.wl')
    # Another one with the same UID is answered in its place.
    stand_in.say(entries=worklist([make_entry(1, name='Other^Person')]))
    done = publish(
        stand_in, orthanc.worklists, '--check', '--orthanc-url', orthanc.url,
        '-v', ORTHANC_USER=orthanc.user, ORTHANC_PASSWORD=orthanc.password)
    assert_nameless(done)
    assert "its PatientName arrives damaged" in done.stderr
    assert 'Other' not in done.stdout + done.stderr


def test_no_password_in_what_is_printed(stand_in, folder):
    stand_in.say(entries=1)
    done = publish(stand_in, folder, '-v')
    stand_in.say(entries=worklist([]))
    assert PASSWORD not in done.stdout + done.stderr
    assert "secret of the server" not in done.stderr
