# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Somebody on the computer of the demonstration wants more than to look: its
password, its files, or the rights of root who started it."""
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from contextlib import closing
from pathlib import Path

import pytest
import run
import seed
from story import Story
from support.databases import SEEDED
from support.records import Rpc, RpcError

ROOT = Path(__file__).parents[2]
# The demonstration has a database of SQLite, whatever the tests run on.
pytestmark = pytest.mark.sqlite
is_root = os.geteuid() == 0
# Be root, if only in a namespace of one's own.
AS_ROOT = [] if is_root else ['unshare', '--map-root-user']


def test_root_does_not_run_it_as_root(tmp_path):
    done = subprocess.run(
        [*AS_ROOT, sys.executable, run.__file__, '--check', '--keep',
            tmp_path / 'kept'],
        capture_output=True, text=True)
    assert done.returncode == 2
    assert 'demo.sh, which gives up its rights' in done.stderr
    assert not (tmp_path / 'kept').exists()


def test_the_option_for_tests_is_none_of_the_command():
    for word in ['--as-root', '--prepare']:
        done = subprocess.run(
            ['sh', ROOT / 'his-utils' / 'demo.sh', word],
            capture_output=True, text=True)
        assert done.returncode == 2 and 'Usage' in done.stderr


@pytest.fixture
def copy(templates, tmp_path):
    "A database as the demonstration keeps it."
    templates.need_seeded()
    path = tmp_path / 'demo.sqlite'
    shutil.copyfile(templates.path(SEEDED), path)
    return path


def test_the_password_of_another_run_opens_nothing(copy, make_trytond):
    run.set_passwords(copy, 'of this run')

    class Database:
        options = {
            'database_uri': 'sqlite://', 'database': 'demo',
            'database_path': copy.parent}
    url = f'{make_trytond(Database).url}/demo/'
    for login in ['admin', *(user.login for user in seed.LOGINS)]:
        assert Rpc(login, 'of this run', url).context
        with pytest.raises((RpcError, TypeError)):
            Rpc(login, seed.PASSWORD, url)


def test_users_without_a_password_get_none(copy):
    def logins():
        with closing(sqlite3.connect(copy)) as connection:
            return {row[0] for row in connection.execute(
                    'SELECT login FROM res_user '
                    'WHERE password_hash IS NOT NULL')}
    before = logins()
    # GNU Health itself has some more, which are not active.
    assert before > {'admin', *(user.login for user in seed.LOGINS)}
    run.set_passwords(copy, 'of this run')
    assert logins() == before


def test_files_of_others_are_found(tmp_path):
    tmp_path.chmod(0o700)
    folder, file = tmp_path / 'a', tmp_path / 'a' / 'b'
    folder.mkdir(mode=0o700)
    file.touch(mode=0o640)
    (tmp_path / 'link').symlink_to('/')
    assert not run.files_of_others(tmp_path)
    for path, mode in [
            (file, 0o604), (file, 0o602), (folder, 0o701), (tmp_path, 0o750)]:
        kept = path.stat().st_mode
        path.chmod(mode)
        assert run.files_of_others(tmp_path) == [path]
        path.chmod(kept)


def test_rights_of_root_are_found():
    assert run.has_rights_of_root(os.getpid()) == is_root
    other = ['setpriv', '--reuid', 'nobody', '--clear-groups']
    with subprocess.Popen(
            [*(AS_ROOT or other), 'sleep', '60']) as process:
        _wait_for_program(process.pid, 'sleep')
        assert run.has_rights_of_root(process.pid) != is_root
        process.kill()


def _wait_for_program(pid, name):
    while Path(f'/proc/{pid}/comm').read_text().strip() != name:
        pass


def test_what_is_wrong_is_told(tmp_path):
    class Options:
        as_root = True
    lines = []

    class Orthanc:
        dicom_port, aet = 1, 'X'
    story = Story(None, Orthanc, tmp_path, lines.append)
    tmp_path.chmod(0o755)
    run.check_what_others_may(story, Options)
    assert story.wrong == ["its files are nobody else's"]
    assert str(tmp_path) in lines[-1]


# What root does before it gives up its rights

@pytest.fixture
def shell(tmp_path_factory):
    "Return a function that runs lines with the functions of demo.sh."
    # Where others may enter, unlike the folders of pytest.
    cache = tmp_path_factory.mktemp('cache')

    def run_lines(lines, root=ROOT, **environ):
        return subprocess.run(
            ['sh', '-eu', '-c', f'''
                umask 022
                root={root}; cache={cache}
                . {ROOT}/his-utils/setup.sh
                . {ROOT}/his-utils/demo/unprivileged.sh
                user=nobody
                {lines}'''],
            capture_output=True, text=True, env={**os.environ, **environ})
    run_lines.cache = cache
    return run_lines


def test_nothing_of_root_goes_along(shell):
    done = shell('become env', SECRET='s3cret', LD_PRELOAD='', TMPDIR='/x')
    if not is_root:
        # Who cannot become the other user runs nothing.
        assert done.returncode and not done.stdout
        return
    assert {line.partition('=')[0] for line in done.stdout.splitlines()} == {
        'PATH', 'LANG', 'HOME', 'XDG_CACHE_HOME'}
    done = shell("become sh -c 'id -u; id -G; cat /proc/self/status'")
    user, groups, *status = done.stdout.splitlines()
    assert user != '0' and '0' not in groups.split()
    status = dict(line.split(':\t', 1) for line in status if ':\t' in line)
    assert status['NoNewPrivs'] == '1'
    assert int(status['CapPrm'], 16) == int(status['CapEff'], 16) == 0


def test_the_copy_can_be_read_and_not_written(shell, tmp_path):
    closed = tmp_path / 'closed'
    closed.mkdir(mode=0o700)
    for name in ['health_imaging', 'health_imaging_worklist',
            'health_orthanc', 'his-utils']:
        (closed / name).mkdir(mode=0o700)
    for name in ['LICENSE', 'README.rst', 'pyproject.toml', 'setup.cfg',
            'his-utils/a b.py']:
        (closed / name).touch(mode=0o600)
    (closed / 'secret').touch()
    copy = shell.cache / 'checkout'
    for text in ['1', '2', '2']:
        (closed / 'his-utils' / 'a b.py').write_text(text)
        done = shell('copy_checkout; echo "$root"', closed)
        assert done.stdout == f'{copy}\n', done.stderr
        assert (copy / 'his-utils' / 'a b.py').read_text() == text
    assert not (copy / 'secret').exists()
    for path in copy.rglob('*'):
        mode = path.stat().st_mode
        assert mode & 0o004 and not mode & 0o022, path
        assert path.stat().st_uid == os.geteuid()


def test_only_an_empty_folder_in_reach_is_handed_over(shell, tmp_path):
    full, empty, away = (tmp_path / name for name in ['full', 'e', 'away'])
    for folder in [full, empty]:
        folder.mkdir()
    (full / 'file').touch()
    link = tmp_path / 'link'
    link.symlink_to(empty)
    if not is_root:
        # Nobody else gives a folder away.
        assert shell(f'hand_over {empty}').returncode
        assert empty.stat().st_uid == os.geteuid()
        return
    # pytest keeps its folders to itself.
    for target in [away, empty, link]:
        done = shell(f'hand_over {target}')
        assert done.returncode == 2 and 'cannot reach' in done.stderr
    assert not away.exists() and empty.owner() == 'root'
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        done = shell(f'hand_over {folder}/kept; echo "$keep"')
        assert done.stdout == f'{folder}/kept\n', done.stderr
        assert Path(folder, 'kept').owner() == 'nobody'
    shell(f'hand_over {full}')
    assert full.owner() == 'root'
