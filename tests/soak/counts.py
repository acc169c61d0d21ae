# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What must be true of the hospital when everybody is done, and the report."""
import re
import sqlite3
from collections import Counter
from contextlib import closing
from pathlib import Path

import pydicom
import seed
from parts import NEVER_SPARED, leaks
from scanner import NODE
from support.link_invariant import faults
from support.records import Rpc

#: Files that the node and the script keep.
KEPT = re.compile(
    r'node\.sqlite(-wal|-shm)?|lock|\.gnuhealth-worklist[-.].*|.*\.wl')
#: What a log may say when a server was away, or the database ended.
EXPECTED = re.compile(
    r'OperationalError|InterfaceError|terminating connection|'
    r'server closed the connection|could not connect|'
    r'connection .*(refused|closed|failed)|cursor already closed|'
    r'the database system is (starting up|shutting down)|'
    r'no connection to the server')
#: More than so many MiB, and a part of what it had, no process may grow.
GROWTH, PART = 30, 0.2
_REQUEST = 'gnuhealth_imaging_test_request'
_RESULT = 'gnuhealth_imaging_test_result'
_STEP = 'gnuhealth_imaging_worklist_performed_step'
_STUDY = 'gnuhealth_imaging_orthanc_study'
_REPORT = 'gnuhealth_orthanc_report'
# Tables, and which of their rows, that are counted
_COUNTED = {
    'requests': f'{_REQUEST}',
    'results': f'{_RESULT}',
    'steps': f'{_STEP}',
    'reports stored': f"{_REPORT} WHERE state = 'stored'",
    'runs': 'gnuhealth_orthanc_sync_run',
    'tasks that nobody finished': 'ir_queue WHERE finished_at IS NULL',
    }
# that are still to be done
_WAITING = {
    'tasks': 'ir_queue WHERE dequeued_at IS NULL',
    'events': 'gnuhealth_orthanc_link_event WHERE decided_at IS NULL',
    'studies': f'{_STUDY} WHERE undecided_since IS NOT NULL',
    'runs': 'gnuhealth_orthanc_config WHERE lease IS NOT NULL',
    'reports': f"{_REPORT} WHERE state = 'waiting'",
    }
# that should not be: a column, and the rest of the query.
_WRONG = {
    'requests with two results': (
        'request', f'{_RESULT} GROUP BY request HAVING count(*) > 1'),
    'numbers of two requests': (
        'request_line',
        f'{_REQUEST} GROUP BY request_line HAVING count(*) > 1'),
    'steps that are there twice': (
        'uid', f'{_STEP} GROUP BY uid HAVING count(*) > 1'),
    'steps with a problem, or not over': (
        'uid', f'{_STEP} WHERE problem IS NOT NULL '
        "OR coalesce(state, '') != 'completed'"),
    'studies that are there twice': (
        '"study_instance_UID"', f'{_STUDY} '
        'GROUP BY "study_instance_UID" HAVING count(*) > 1'),
    'requests of a patient who was merged': (
        'r.id', f'{_REQUEST} r JOIN gnuhealth_patient p ON r.patient = p.id '
        'JOIN party_party q ON p.party = q.id '
        'WHERE q.replaced_by IS NOT NULL'),
    }


class Counts:
    """Compares what people were told with what is there.

    :param hospital: day.Hospital
    :ivar wrong: what is wrong, texts
    :ivar seconds: how long it took until nothing was left to do
    :ivar waited: how long each kind of it took, in seconds
    """

    def __init__(self, hospital):
        self.hospital, self.journal = hospital, hospital.journal
        self.wrong, self.seconds, self.counts = [], None, {}
        self.waited = {}

    def _ids(self, query):
        return [row[0] for row in self.hospital.query(query)]

    def _count(self, rows):
        return self._ids(f'SELECT count(*) FROM {rows}')[0]

    def _need(self, claim, found):
        "Note what was found that should not be."
        if found:
            self.wrong.append(f"{claim}: {len(found)}, {sorted(found)[:5]}")

    def waits(self):
        "Return what is still to be done, a dict of counts."
        counts = {
            name: self._count(rows) for name, rows in _WAITING.items()}
        counts['messages'] = self._pending()
        remote = self.hospital.orthanc.rest('GET', '/statistics')
        counts['images'] = remote['CountInstances'] - self._images()
        if set(self._files()) != self._open():
            counts['worklist files'] = 1
        return {name: count for name, count in counts.items() if count}

    def _pending(self):
        path = self.hospital.folder / 'node' / 'data' / 'node.sqlite'
        with closing(sqlite3.connect(path, timeout=30)) as database:
            return database.execute(
                'SELECT count(*) FROM message').fetchone()[0]

    def _images(self):
        return self._ids('SELECT coalesce(sum(number_of_instances), 0) '
            f'FROM {_STUDY} WHERE missing_since IS NULL')[0]

    def _files(self):
        return [
            str(pydicom.dcmread(path).StudyInstanceUID)
            for path in self.hospital.orthanc.worklists.glob('*.wl')]

    def _open(self):
        return set(self._ids(f'SELECT merge_id FROM {_REQUEST} '
                "WHERE state = 'requested' AND worklist_status = 'todo'"))

    def check(self):
        "Look for everything that is wrong."
        for claim, (column, rows) in _WRONG.items():
            self._need(claim, self._ids(f'SELECT {column} FROM {rows}'))
        self._orders()
        self._studies()
        self._reports()
        self._worklists()
        self._need("links", faults(self.hospital.database))
        self._need("temporary files", self._leaks())
        self._memory()
        self._need("log", surprises(self.hospital.folder))
        self.counts.update(
            (name, self._count(rows)) for name, rows in _COUNTED.items())

    def _memory(self):
        if self.hospital.parts.minutes >= 10:
            self._need("processes that grow", [
                    f'{part.name}: {begin:.0f} to {end:.0f} MiB'
                    for part, begin, end in memory(self.hospital.parts)
                    if part.name not in NEVER_SPARED
                    and end - begin > max(GROWTH, PART * begin)])

    def _orders(self):
        "Check that each order is there as often as people were told."
        found = Counter(self._ids('SELECT clinical_question FROM '
                f"{_REQUEST} WHERE clinical_question LIKE 'soak %'"))
        told = {t: len(rows) for t, rows in self.journal.orders.items()}
        self.counts['orders told'] = len(told)
        self._need("orders that are not as told", [
                (token, told.get(token), found[token])
                for token in {*told, *found}
                if told.get(token) != found[token]])
        self._need("canceled, and not so", self.journal.canceled ^ set(
                self._ids(
                    f"SELECT id FROM {_REQUEST} WHERE state = 'canceled'")))
        steps = {step for _, step in self.journal.examined.values() if step}
        self.counts['steps told'] = len(steps)
        self._need("steps that are not as told",
            steps ^ set(self._ids(f'SELECT uid FROM {_STEP}')))
        self._need("steps without their request", steps - set(self._ids(
                    f'SELECT s.uid FROM {_STEP} s '
                    f'JOIN "{_STEP}-request" l ON l.step = s.id')))

    def _studies(self):
        "Check that the images of each exam are at its request."
        rows = {uid: rest for uid, *rest in self.hospital.query(
                'SELECT s."study_instance_UID", r.merge_id, '
                's.patient = r.patient, s.number_of_instances - '
                f'(SELECT count(*) FROM {_REPORT} p '
                "WHERE p.study = s.id AND p.state = 'stored') "
                f'FROM {_STUDY} s LEFT JOIN {_REQUEST} r '
                'ON s.request = r.id')}
        told = {uid: [uid, True, images]
            for uid, (images, _) in self.journal.examined.items()}
        self.counts['exams told'] = len(told)
        self._need("studies that are not as told", [
                (uid, told.get(uid), rows.get(uid))
                for uid in {*told, *rows} if told.get(uid) != rows.get(uid)])
        remote = self.hospital.orthanc.rest('GET', '/statistics')
        self.counts['images'] = self._images()
        if (remote['CountStudies'], remote['CountInstances']) != (
                len(rows), self._images()):
            self.wrong.append(f"Orthanc has {remote}")

    def _reports(self):
        "Check that each signed report is in the PACS once."
        final = set(self._ids(
                f"SELECT id FROM {_RESULT} WHERE state = 'final'"))
        self.counts['signed told'] = len(self.journal.signed)
        self._need("signed, and not final", self.journal.signed ^ final)
        stored = self.hospital.query('SELECT p.result, p.revision, '
            f'p."orthanc_UID" FROM {_REPORT} p WHERE p.state = %s', 'stored')
        self._need("results whose report is not stored once", [
                result for result, count in Counter(
                    [*final, *(row[0] for row in stored)]).items()
                if count != 2])
        series = Counter(
            (s['ParentStudy'], s['MainDicomTags'].get('SeriesDescription'))
            for s in self.hospital.orthanc.rest('GET', '/series?expand')
            if s['MainDicomTags'].get('Modality') != 'CT')
        self._need("reports that the PACS has twice", [
                key for key, count in series.items() if count > 1])
        if len(series) != len(stored):
            self.wrong.append(
                f"the PACS has {len(series)} reports, not {len(stored)}")

    def _worklists(self):
        "Check that machines are offered what is open, and nothing else."
        open_ = self._open()
        known = {
            row['merge_id'] for rows in self.journal.orders.values()
            for row in rows if row['id'] not in self.journal.canceled}
        self.counts['open requests'] = len(open_)
        self._need("open, and not as told",
            open_ ^ (known - self.journal.examined.keys()))
        node, _ = self.hospital.machines
        offered = [str(e.StudyInstanceUID) for e in node.worklist()]
        rpc = Rpc(NODE.login, seed.PASSWORD, self.hospital.url)
        entries = rpc('model.gnuhealth.imaging.test.request.'
            'get_worklist_entries', None, {'aetitles': [node.aet]})['entries']
        if len(offered) != len(set(offered)) or (
                len(offered) != len(entries)) or set(offered) - open_:
            self.wrong.append(f"the node offers {len(offered)}, "
                f"GNU Health {len(entries)}")

    def _leaks(self):
        hospital = self.hospital
        found = [
            path for part in hospital.parts.parts.values()
            for path in leaks(part.temporary)]
        return [str(path) for path in [*found, *(
                    path for folder in [
                        hospital.orthanc.worklists,
                        hospital.folder / 'node' / 'data']
                    for path in Path(folder).iterdir()
                    if not KEPT.fullmatch(path.name))]]


def surprises(folder):
    """Return what the logs say that no outage explains.

    :param folder: of the hospital
    """
    found = Counter()
    for name in ['health/trytond', 'health/worker-0', 'health/worker-1',
            'health/cron', 'node/node', 'worklist']:
        text = (folder / f'{name}.log').read_text(errors='replace')
        for entry in re.split(r'\n(?=\d+ \d+ \[|\S+ \[)', text):
            lines = entry.splitlines() or ['']
            first, last = lines[0], lines[-1]
            is_bad = re.search(r' (ERROR|CRITICAL) ', first) or (
                'Traceback' in entry or 'should not happen' in entry)
            if is_bad and not EXPECTED.search(entry):
                found[f'{name}: {first[-150:]} | {last[-200:]}'] += 1
    return [f'{count} x {text}' for text, count in found.items()]


def memory(parts):
    """Yield each Part with its memory when it was warm and at the end, MiB.

    :param parts: soak.parts.Parts
    """
    warm = parts.begin + 60 * parts.spared_since + 180
    for part in parts.parts.values():
        later = [size for at, size in part.memory if at >= warm]
        sizes = later or [size for _, size in part.memory] or [0]
        yield part, sizes[0], sizes[-1]


def readable(hospital, counts):
    "Return the report, text."
    journal, parts = hospital.journal, hospital.parts
    lines = [f"Soak of {parts.minutes:g} minutes, seed {hospital.seed}", ""]
    if counts.seconds is not None:
        lines.append(
            f"All was done {counts.seconds:.0f} s after the people ended: "
            + ', '.join(f'{name} {seconds:.0f} s'
                for name, seconds in counts.waited.items()))
    lines += [f"{name:<32}{count:>8}" for name, count in
        [*counts.counts.items(), *journal.done.items()]]
    lines += ["", f"{'Process':<14}{'killed':>8}{'ended':>8}"
        f"{'files left':>12}{'MiB begin':>12}{'MiB end':>10}"]
    lines += [
        f"{part.name:<14}{part.kills:>8}{part.deaths:>8}{part.left:>12}"
        f"{begin:>12.0f}{end:>10.0f}"
        for part, begin, end in memory(parts)]
    lines += [f"{name}: {count}" for name, count in parts.events.items()]
    lines += ["", f"{'Action':<24}{'times':>8}{'lost':>8}{'median s':>10}"
        f"{'slowest s':>11}{'until done s':>14}"]
    for name, seconds in sorted(journal.seconds.items()):
        seconds = sorted(seconds)
        lines.append(
            f"{name:<24}{len(seconds):>8}{journal.lost[name]:>8}"
            f"{seconds[len(seconds) // 2]:>10.2f}{seconds[-1]:>11.2f}"
            f"{max(journal.until_done[name], default=0):>14.2f}")
    for title, counter in [
            ("No answer", journal.no_answers), ("Refused", journal.refused)]:
        lines += ["", title]
        lines += [f"{count:>6} x {' '.join(str(text).split())[:150]}"
            for text, count in counter.most_common()]
    lines += ["", "Wrong", *(f"   {text}" for text in counts.wrong or ["-"])]
    return '\n'.join(lines) + '\n'
