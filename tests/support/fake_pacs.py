# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Fake PACS that look like large Orthanc servers, for benchmarks: no image is
there, and nothing is kept in memory. What a server lists of a study, a series
or an instance is made when it is asked for, from the seed of the server and
the numbers that stand in the id, so that it is the same at each run.

    with fakes({'studies': 10_000}, {'studies': 20_000, 'seed': 7}) as (a, b):
        ...  # use a.url and b.url
        a.set(studies=10_001)
        assert a.ask()['calls'] == 6

They run in one process of their own, each at a port. A server has the studies
from number ``first`` on, all of the same size; one study comes every
``pause`` seconds when that is given, which is its clock. The change log has
one line for each instance, where an Orthanc has some for studies and series,
too. What is told of more than one study, series or instance is what Orthanc
1.10.1 tells; there are no pictures, and nothing can be stored.
"""
import json
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import parse_qs, urlsplit
from urllib.request import Request, urlopen

from .fault_server import SYSTEM, FaultServer, Reply, hang

LEVELS = ['Patient', 'Study', 'Series', 'Instance']
CT = '1.2.840.10008.5.1.4.1.1.2'
ROOT = '2.999.20'
#: Mixes the order of the ids, so that studies do not come as they are read.
MIX = 2654435761
#: What is set and asked from outside.
PATH = '/fake'


def id_of(seed, study, series=0, instance=0):
    """Return the id of a study, of one of its series, or of an instance: five
    numbers of eight digits, as Orthanc has them.

    :param int study: number of the study, from 0
    :param int series: number in the study, from 1; 0 for the study itself
    :param int instance: number in the series, from 1
    """
    mixed = study * MIX % 2 ** 32
    return '-'.join(
        f'{n:08x}' for n in (mixed, seed, study, series, instance))


class Pacs:
    """What one server has and answers.

    :param int studies: how many studies it has
    :param int first: number of the first one
    :param int series: how many series each of them has
    :param int instances: how many instances each series has
    :param pause: seconds after which one more study comes, None: never
    :param bool hangs: whether it accepts connections and says nothing
    :param position: what ImagePositionPatient (0020,0032) is in each image,
        None: of a CT
    """

    def __init__(self, seed=1, studies=0, first=0, series=3, instances=25,
            pause=None, hangs=False, position=None):
        self.seed, self.first = seed, first
        self.series, self.instances = series, instances
        self.hangs, self.pause, self.came = hangs, pause, studies
        self.position = position
        self.since = time.monotonic()
        # What it was asked for
        self.calls = self.given = 0

    @property
    def studies(self):
        """How many studies there are now."""
        if not self.pause:
            return self.came
        return self.came + int((time.monotonic() - self.since) / self.pause)

    def set(self, **values):
        """Change what the server has; the clock starts again."""
        self.came = values.pop('studies', self.studies)
        self.since = time.monotonic()
        for name, value in values.items():
            setattr(self, name, value)

    def answer(self, exchange):
        """Answer a request, as a fault of a FaultServer does."""
        call = exchange.call
        address = urlsplit(call.path)
        body = json.loads(exchange.read() or 'null')
        if address.path == PATH:
            self.set(**(body or {}))
            return _json({
                    name: getattr(self, name)
                    for name in ['calls', 'given', 'studies']})
        self.calls += 1
        if self.hangs:
            return hang()(exchange)
        if address.path == '/tools/bulk-content':
            return _json(list(self.bulk(**body)))
        if address.path == '/changes':
            return _json(self.changes(**{
                        name: int(values[0] or 0) for name, values in parse_qs(
                            address.query, True).items()}))
        try:
            return _json({
                    '/system': lambda: SYSTEM,
                    '/plugins': list,
                    '/statistics': self.statistics,
                    '/studies': lambda: self.ids(),
                    '/series': lambda: self.ids(range(1, self.series + 1)),
                    '/instances': lambda: self.ids(
                        range(1, self.series + 1),
                        range(1, self.instances + 1)),
                    }[address.path]())
        except KeyError:
            return Reply(404)

    def statistics(self):
        """Return what is counted, dict."""
        count = self.studies
        return {
            'CountPatients': count, 'CountStudies': count,
            'CountSeries': count * self.series,
            'CountInstances': count * self.series * self.instances}

    def ids(self, series=(0,), instances=(0,)):
        """Return the ids of all studies, or of what is in them."""
        return [
            id_of(self.seed, study, one, instance)
            for study in range(self.first, self.first + self.studies)
            for one in series for instance in instances]

    def changes(self, since=0, limit=100, last=None):
        """Return a block of the change log, dict; the last line of it when
        there is a last."""
        each = self.series * self.instances
        end = self.studies * each
        if last is not None:
            since, limit = max(end - 1, 0), 1
        lines = []
        for number in range(since, min(since + limit, end)):
            study, rest = divmod(number, each)
            series, instance = divmod(rest, self.instances)
            id_ = id_of(
                self.seed, self.first + study, series + 1, instance + 1)
            lines.append({
                    'ChangeType': 'NewInstance',
                    'Date': '20260102T030405',
                    'ID': id_,
                    'Path': f'/instances/{id_}',
                    'ResourceType': 'Instance',
                    'Seq': number + 1,
                    })
        newest = lines[-1]['Seq'] if lines else min(since, end)
        return {'Changes': lines, 'Last': newest, 'Done': newest == end}

    def bulk(self, Resources, Level, Metadata):
        """Yield what is told of resources, or of what they are in, or of what
        is in them, dicts."""
        level, seen = LEVELS.index(Level), set()
        for id_ in Resources:
            numbers = self._numbers(id_)
            for found in self._relatives(level, *numbers) if numbers else ():
                if found not in seen:
                    seen.add(found)
                    yield self._told(level, found, Metadata)

    def _numbers(self, id_):
        "Return the numbers in the id of something that is there, or None."
        numbers = [int(part, 16) for part in id_.split('-')[1:]]
        seed, study, series, instance = numbers
        if (seed == self.seed
                and 0 <= study - self.first < self.studies
                and series <= self.series and instance <= self.instances):
            return study, series, instance

    def _relatives(self, level, study, series, instance):
        if level == 1:
            return [(study, 0, 0)]
        series = [series] if series else range(1, self.series + 1)
        if level == 2:
            return [(study, one, 0) for one in series]
        instances = [instance] if instance else range(1, self.instances + 1)
        return [(study, one, each) for one in series for each in instances]

    def _told(self, level, numbers, metadata):
        tell = [None, self._study, self._series, self._instance][level]
        uid = '.'.join(map(str, [ROOT, self.seed, *numbers[:level]]))
        told = {
            'ID': id_of(self.seed, *numbers), 'Type': LEVELS[level],
            **tell(uid, *numbers)}
        if level == 3:
            self.given += 1
        if metadata:
            told['Metadata'] = {'SopClassUid': CT, 'Origin': 'DicomProtocol'}
        return told

    def _study(self, uid, study, *_):
        patient = study // 2
        return {
            'IsStable': True,
            'LastUpdate': '20260102T030405',
            'MainDicomTags': {
                'AccessionNumber': f'ACC{self.seed:04d}{study:08d}',
                'InstitutionName': "Example",
                'ReferringPhysicianName': 'House^G',
                'StudyDate': f'20{study % 20 + 5:02d}1{study % 3}10',
                'StudyDescription': f'Study {study}',
                'StudyID': '1',
                'StudyInstanceUID': uid,
                'StudyTime': '101530.25',
                },
            'ParentPatient': id_of(self.seed, patient),
            'PatientMainDicomTags': {
                'PatientBirthDate': f'19{patient % 80 + 10}0101',
                'PatientID': f'FAKE{self.seed:04d}{patient:08d}',
                'PatientName': f'Müller^Jürgen {patient}',
                'PatientSex': 'FMO'[patient % 3],
                },
            'Series': [
                id_of(self.seed, study, n + 1) for n in range(self.series)],
            }

    def _series(self, uid, study, series, _):
        return {
            'ExpectedNumberOfInstances': None,
            'IsStable': True,
            'LastUpdate': '20260102T030405',
            'Instances': [
                id_of(self.seed, study, series, n + 1)
                for n in range(self.instances)],
            'MainDicomTags': {
                'BodyPartExamined': 'HEAD',
                'Modality': 'CT',
                'SeriesDescription': f'Series {series}',
                'SeriesInstanceUID': uid,
                'SeriesNumber': str(series),
                },
            'ParentStudy': id_of(self.seed, study),
            'Status': 'Unknown',
            }

    def _instance(self, uid, study, series, instance):
        position = self.position
        if position is None:
            position = f'-120\\-120\\{instance * 5}'
        return {
            'FileSize': 525_000,
            'FileUuid': id_of(self.seed, study, series, instance),
            'IndexInSeries': instance,
            'MainDicomTags': {
                'ImageOrientationPatient': '1\\0\\0\\0\\1\\0',
                'ImagePositionPatient': position,
                'InstanceNumber': str(instance),
                'SOPInstanceUID': uid,
                },
            'ParentSeries': id_of(self.seed, study, series),
            }


def _json(value):
    return Reply(200, json.dumps(value).encode(), {
            'Content-Type': 'application/json'})


class Fake:
    """A fake PACS as a test sees it.

    :ivar url: its address
    """
    user, password = 'demo', 'secret'

    def __init__(self, url):
        self.url = url

    def set(self, **values):
        """Change what it has, see Pacs, and return what ask returns."""
        request = Request(f'{self.url}{PATH}', json.dumps(values).encode())
        with urlopen(request, timeout=30) as answer:
            return json.load(answer)

    def ask(self):
        """Return how many studies it has, how many calls came, and how many
        instances were given, dict."""
        return self.set()


@contextmanager
def fakes(*settings):
    """Run fake PACS in one process, and give a list of Fake.

    :param settings: what Pacs takes, a dict for each
    """
    process = subprocess.Popen(
        [sys.executable, '-m', 'support.fake_pacs'], text=True,
        cwd=Path(__file__).parents[1], stdin=subprocess.PIPE,
        stdout=subprocess.PIPE)
    try:
        process.stdin.write(f'{json.dumps(settings)}\n')
        process.stdin.flush()
        yield list(map(Fake, json.loads(process.stdout.readline())))
    finally:
        process.kill()
        process.communicate()


def main():
    """Run the servers that standard input names, until it ends."""
    settings, servers = json.loads(sys.stdin.readline()), []
    for values in settings:
        server = FaultServer()
        server.on('', Pacs(**values).answer)
        server.start()
        servers.append(server)
    print(json.dumps([server.url for server in servers]), flush=True)
    # It ends with the test.
    sys.stdin.read()


if __name__ == '__main__':
    main()
