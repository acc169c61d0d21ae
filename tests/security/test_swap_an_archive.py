# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Somebody between npm and the demonstration swaps a package: for a changed
one, or for one that writes where it should not."""
import io
import json
import re
import stat
import tarfile

import npm
import ohif
import pytest
import webclient

#: A package as npm packs one.
GOOD = [
    ('package/package.json', '{"version": "1.0"}'), ('package/a/b.js', 'x')]


def pack(path, files, **special):
    "Write an archive of files, and of members with another type."
    with tarfile.open(path, 'w:gz') as tar:
        for name, text in files:
            info = tarfile.TarInfo(name)
            info.size = len(text)
            info.mode, info.uid, info.gid = 0o6777, 12345, 12345
            tar.addfile(info, io.BytesIO(text.encode()))
        for name, (kind, target) in special.items():
            info = tarfile.TarInfo(f'package/{name}')
            info.type, info.linkname = kind, target
            tar.addfile(info)
    return path


@pytest.fixture
def archive(tmp_path):
    return pack(tmp_path / 'good.tgz', GOOD)


@pytest.fixture
def registry(tmp_path, monkeypatch, archive):
    """A program npm that gives an archive, and a lock file with the hash of
    the good one; return a function that swaps what it gives."""
    programs = tmp_path / 'programs'
    programs.mkdir()
    given = programs / 'given.tgz'
    given.write_bytes(archive.read_bytes())
    program = programs / 'npm'
    program.write_text(
        '#!/bin/sh\n'
        'while [ "$1" != --pack-destination ]; do shift; done\n'
        f'exec /bin/cp "{given}" "$2/package.tgz"\n')
    program.chmod(0o755)
    monkeypatch.setenv('PATH', str(programs))
    lock = tmp_path / 'npm.lock.json'
    lock.write_text(json.dumps({'good': {
        'version': '1.0', 'integrity': npm.integrity_of(archive)}}))
    monkeypatch.setattr(npm, 'LOCK', lock)
    return given.write_bytes


def test_the_locked_package_is_unpacked(registry, tmp_path):
    folder = tmp_path / 'made' / 'good'
    npm.fetch('good', folder)
    assert (folder / 'a' / 'b.js').read_text() == 'x'
    assert [path.name for path in folder.parent.iterdir()] == ['good']


def test_a_changed_package_is_refused(registry, tmp_path, archive):
    data = bytearray(archive.read_bytes())
    data[-5] ^= 1
    registry(bytes(data))
    folder = tmp_path / 'made' / 'good'
    with pytest.raises(npm.NpmError, match="npm gave another good 1.0"):
        npm.fetch('good', folder)
    assert not list(folder.parent.iterdir())


def test_a_package_that_is_packed_anew_is_refused(registry, tmp_path):
    other = pack(tmp_path / 'other.tgz', [*GOOD, ('package/c.js', 'evil')])
    registry(other.read_bytes())
    with pytest.raises(npm.NpmError, match="Nothing of it was used"):
        npm.fetch('good', tmp_path / 'made')


@pytest.mark.parametrize('name', [
        '../outside', 'package/../../outside', '/tmp/outside',
        'package/..\\..\\outside', 'package/a/../../../outside'])
def test_files_for_elsewhere_are_refused(tmp_path, name):
    folder = tmp_path / 'a' / 'b' / 'made'
    folder.parent.mkdir(parents=True)
    bad = pack(tmp_path / 'bad.tgz', [*GOOD, (name, 'evil')])
    with pytest.raises(npm.NpmError, match="file for elsewhere"):
        npm.unpack(bad, folder)
    assert not list(folder.parent.iterdir())
    assert not list(tmp_path.rglob('*outside*'))


@pytest.mark.parametrize('kind, target', [
        (tarfile.SYMTYPE, '/etc/passwd'), (tarfile.SYMTYPE, '../..'),
        (tarfile.LNKTYPE, 'package/package.json'),
        (tarfile.LNKTYPE, '/etc/passwd'), (tarfile.FIFOTYPE, ''),
        (tarfile.CHRTYPE, ''), (tarfile.BLKTYPE, '')])
def test_what_is_no_file_is_refused(tmp_path, kind, target):
    folder = tmp_path / 'made'
    bad = pack(tmp_path / 'bad.tgz', GOOD, link=(kind, target))
    with pytest.raises(npm.NpmError, match="no file"):
        npm.unpack(bad, folder)
    assert not folder.exists()


@pytest.mark.parametrize('has_filters', [True, False])
def test_files_belong_to_who_unpacks(
        archive, tmp_path, monkeypatch, has_filters):
    # Before 3.11.4 Python has no filters.
    if not has_filters:
        monkeypatch.delattr(tarfile, 'data_filter', raising=False)
    npm.unpack(archive, tmp_path / 'made')
    made = (tmp_path / 'made' / 'a' / 'b.js').stat()
    assert stat.S_IMODE(made.st_mode) == 0o644
    assert made.st_uid == tmp_path.stat().st_uid


@pytest.mark.parametrize('data', [b'', b'\x1f\x8b', b'no archive'])
def test_what_is_no_archive_is_told(tmp_path, data):
    bad = tmp_path / 'bad.tgz'
    bad.write_bytes(data)
    with pytest.raises(npm.NpmError, match="damaged"):
        npm.unpack(bad, tmp_path / 'made')


def test_an_archive_without_files_is_told(tmp_path):
    with pytest.raises(npm.NpmError, match="damaged"):
        npm.unpack(pack(tmp_path / 'bad.tgz', []), tmp_path / 'made')


def test_every_package_is_locked():
    "Versions and hashes only: where npm looks is its own affair."
    entries = json.loads(npm.LOCK.read_text(encoding='utf-8'))
    assert set(entries) == set(npm.SERIES) == {
        ohif.PACKAGE, webclient.CLIENT, *webclient.LIBRARIES, *npm.MODALITY}
    for name, entry in entries.items():
        assert entry.keys() == {'version', 'integrity'}
        assert re.fullmatch(r'\d+\.\d+\.\d+', entry['version'])
        assert f'{entry["version"]}.'.startswith(f'{npm.SERIES[name]}.')
        assert re.fullmatch(r'sha512-[\w+/]{86}==', entry['integrity'])
