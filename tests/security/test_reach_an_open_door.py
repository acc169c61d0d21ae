# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Somebody in the network of the hospital tries what the configuration of the
documents leaves open: a real Orthanc that has exactly what they say, asked by
dcmtk as machines do."""
import json
import re
import subprocess
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from modality import IMAGES, image_path
from pydicom import dcmread
from services import HOST, Orthanc, ServiceError

ROOT = Path(__file__).parents[2]
RECIPES = ['README.rst', 'health_imaging_worklist/doc/setup.rst']
# Enough of an entry for the worklist plugin.
ENTRY = '''(0010,0010) PN [Somebody^Ill]
(0010,0020) LO [P1]
(0020,000d) UI [1.2.3]
(0040,0100) SQ
(fffe,e000) -
(0008,0060) CS [CT]
(0040,0001) AE [CT1]
(fffe,e00d) -
(fffe,e0dd) -
'''
KEYS = ['-k', 'PatientName',
    '-k', 'ScheduledProcedureStepSequence[0].ScheduledStationAETitle']
IMAGE = image_path(IMAGES['CT'])


def written(name):
    "Return the JSON objects of a document, in their order."
    text = (ROOT / name).read_text(encoding='utf-8')
    blocks = re.findall(
        r'(?ms)^ *\.\. code-block:: json\n\n(.+?)\n *\n', text)
    return [json.loads(block) for block in blocks]


class Server(Orthanc):
    """An Orthanc that has what a document says, but for folders and ports,
    and for what a test changes."""

    def __init__(self, folder, options, **changes):
        super().__init__(folder, users=options['RegisteredUsers'])
        self.options = {**options, **changes}

    def configuration(self):
        return {
            **self.options,
            'StorageDirectory': str(self.folder / 'storage'),
            'HttpPort': self.http_port,
            'DicomPort': self.dicom_port,
            'Worklists': {
                **self.options['Worklists'], 'Database': str(self.worklists)},
            }


@pytest.fixture
def serve(tmp_path):
    "Return a function that starts a Server with one entry of the worklist."
    servers = []

    def serve(options, **changes):
        server = Server(tmp_path / 'orthanc', options, **changes)
        servers.append(server)
        server.start()
        (tmp_path / 'entry').write_text(ENTRY)
        subprocess.run(
            ['dump2dcm', '-g', tmp_path / 'entry',
                server.worklists / 'entry.wl'],
            check=True, capture_output=True)
        return server
    yield serve
    for server in servers:
        server.kill()


def here(options):
    "Return the machines of a document, moved to this computer."
    return {
        name: {**machine, 'Host': HOST}
        for name, machine in options['DicomModalities'].items()}


def tell(program, title, server, *words):
    "Run a program of dcmtk, and return whether it was served and its output."
    done = subprocess.run(
        [program, '-v', '-aet', title, '-aec', 'ORTHANC', HOST,
            str(server.dicom_port), *words],
        capture_output=True, text=True, errors='replace', timeout=60)
    output = done.stdout + done.stderr
    failed = done.returncode or re.search(
        'Refus|Abort|Failed(?! Sub)', output)
    return not failed, output


def reads_worklist(title, server, *words):
    served, output = tell('findscu', title, server, '-W', *KEYS, *words)
    if not served:
        assert 'Somebody' not in output
    return served and 'Somebody^Ill' in output


def stores(title, server, image=IMAGE):
    return tell('storescu', title, server, str(image))[0]


def count(server):
    return server.rest('GET', '/statistics')['CountInstances']


@pytest.fixture(params=RECIPES)
def recipe(request):
    return written(request.param)[0]


def test_the_documents_say_the_same():
    first, second = (written(name)[0] for name in RECIPES)
    assert first == second
    assert first['DicomModalities'] and first['DicomCheckModalityHost']


def test_a_listed_machine_does_its_work(serve, recipe):
    server = serve(recipe, DicomModalities=here(recipe))
    assert reads_worklist('CT1', server)
    assert stores('CT1', server) and count(server) == 1
    assert tell('echoscu', 'CT1', server)[0]


@pytest.mark.parametrize('title', ['STRANGER', 'CT', 'ANY-SCP', ''])
def test_a_stranger_reads_and_stores_nothing(serve, recipe, title):
    server = serve(recipe, DicomModalities=here(recipe))
    assert not reads_worklist(title, server)
    assert not stores(title, server) and not count(server)
    assert not tell('echoscu', title, server)[0]


def test_a_machine_is_not_heard_from_another_address(serve, recipe):
    # Word for word: the machine is at an address that is not this one.
    server = serve(recipe)
    assert not reads_worklist('CT1', server)
    assert not stores('CT1', server) and not count(server)


SEARCH = [
    ('findscu', ['-k', 'PatientName']),
    ('getscu', []),
    ('movescu', ['-aem', 'CT1'])]


def search(server, title, program, words):
    study = dcmread(IMAGE).StudyInstanceUID
    return tell(program, title, server, '-S', *words,
        '-k', 'QueryRetrieveLevel=STUDY', '-k', f'StudyInstanceUID={study}')


@pytest.mark.parametrize('program, words', SEARCH)
@pytest.mark.parametrize('title', ['CT1', 'STRANGER'])
def test_no_machine_searches_or_fetches_images(
        serve, recipe, title, program, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    server = serve(recipe, DicomModalities=here(recipe))
    assert stores('CT1', server)
    served, output = search(server, title, program, words)
    assert not served, output
    assert str(dcmread(IMAGE).PatientName) not in output


@pytest.mark.parametrize('program, words', SEARCH[:2])
def test_searches_that_are_allowed_are_seen(
        serve, recipe, program, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    machine = here(recipe)['ct']
    for name in ['AllowFind', 'AllowGet']:
        del machine[name]
    server = serve(recipe, DicomModalities={'ct': machine})
    assert stores('CT1', server)
    served, output = search(server, 'CT1', program, words)
    assert served, output
    assert program != 'findscu' or (
        str(dcmread(IMAGE).PatientName) in output)


def test_a_browser_is_asked_for_a_password(serve, recipe):
    server = serve(recipe)
    for path in ['/system', '/patients', '/app/explorer.html']:
        with pytest.raises(urllib.error.HTTPError) as error:
            urllib.request.urlopen(f'{server.url}{path}', timeout=10)
        assert error.value.code == 401
    assert server.rest('GET', '/patients') == []


def test_what_these_tests_look_for_is_seen(serve, recipe):
    "An Orthanc as Debian sets it up, and with the former recipe."
    server = serve(
        {'RegisteredUsers': {}, **{
            name: recipe[name] for name in ['Plugins', 'Worklists']}},
        DicomAlwaysAllowFindWorklist=True)
    assert reads_worklist('STRANGER', server)
    assert stores('STRANGER', server) and count(server) == 1


def test_no_document_opens_the_worklist():
    for path in [*ROOT.glob('*.rst'), *ROOT.glob('doc/*.rst'),
            *ROOT.glob('health_*/doc/*.rst')]:
        text = path.read_text(encoding='utf-8')
        for block in re.findall(r'(?m)^.*DicomAlwaysAllow\w*":.*$', text):
            assert 'true' not in block or 'anybody may' in block, path


# DICOM TLS

@pytest.fixture
def certificates(tmp_path):
    "Certificates of Orthanc, of a machine it trusts, and of a stranger."
    for name in ['orthanc', 'trusted', 'stranger']:
        subprocess.run(
            ['openssl', 'req', '-x509', '-newkey', 'rsa:2048', '-nodes',
                '-days', '2', '-subj', f'/CN={name}', '-addext',
                'basicConstraints=critical,CA:TRUE',
                '-keyout', tmp_path / f'{name}.key',
                '-out', tmp_path / f'{name}.crt'],
            check=True, capture_output=True)
    return tmp_path


def test_only_who_has_a_certificate_is_heard_over_tls(
        serve, recipe, certificates):
    tls = written('health_imaging_worklist/doc/setup.rst')[1]
    moved = {
        name: str(certificates / Path(value).name)
        if str(value).startswith('/') else value
        for name, value in tls.items()}
    assert sum(moved[name] != tls[name] for name in tls) == 3
    server = serve(recipe, DicomModalities=here(recipe), **moved)

    def words(name):
        return [
            '--enable-tls', str(certificates / f'{name}.key'),
            str(certificates / f'{name}.crt'),
            '--add-cert-file', str(certificates / 'orthanc.crt')]
    assert reads_worklist('CT1', server, *words('trusted'))
    assert not reads_worklist('CT1', server, *words('stranger'))
    assert not reads_worklist('CT1', server)
    assert not reads_worklist('CT1', server, '--anonymous-tls',
        '--add-cert-file', str(certificates / 'orthanc.crt'))
    assert not reads_worklist('OTHER', server, *words('trusted'))


def test_options_in_two_files_are_told(tmp_path, recipe):
    "As the documents say of Debian's files."
    folder = tmp_path / 'configuration'
    folder.mkdir()
    for name in ['a.json', 'b.json']:
        (folder / name).write_text(json.dumps({
            'StorageDirectory': str(tmp_path / 'storage'),
            'DicomCheckModalityHost': True}))
    server = Server(tmp_path / 'orthanc', recipe)
    server.processes[0].command[1] = str(folder)
    with pytest.raises(ServiceError, match="Bad file format"):
        server.start()
