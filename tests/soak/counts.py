# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What must be true of the hospital when everybody is done."""
import re
import sqlite3
from collections import Counter
from contextlib import closing
from pathlib import Path

import pydicom
import seed
from parts import leaks
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
LOGS = ['health/trytond', 'health/worker-0', 'health/worker-1', 'health/cron',
    'node/node', 'worklist']
#: More than so many MiB, and a part of what it had, no process may grow.
GROWTH, PART = 30, 0.2
_REQUEST = 'gnuhealth_imaging_test_request'
_RESULT = 'gnuhealth_imaging_test_result'
_STEP = 'gnuhealth_imaging_worklist_performed_step'
_STUDY = 'gnuhealth_imaging_orthanc_study'
_REPORT = 'gnuhealth_orthanc_report'
# What people did at least once, or nothing was tried
_DONE = [
    'exams ordered', 'exams canceled', 'steps told by the machine', 'images',
    'reports signed']
# Tables, and which of their rows, that are counted
_COUNTED = {
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
    :ivar compared: what people were told and what is there, two counts by name
    :ivar counts: what else was counted
    :ivar waited: how long each kind of what was left to do took, in seconds
    """

    def __init__(self, hospital):
        self.hospital, self.journal = hospital, hospital.journal
        self.wrong, self.compared, self.counts = [], {}, Counter()
        self.waited = {}

    def _ids(self, query):
        return [row[0] for row in self.hospital.query(query)]

    def _count(self, rows):
        return self._ids(f'SELECT count(*) FROM {rows}')[0]

    def _none(self, claim, found):
        "Note what was found that should not be."
        if found:
            self.wrong.append(
                f"{claim}: {len(found)}, {sorted(found, key=str)[:5]}")

    def _same(self, name, told, found):
        "Compare two counts of things, each a Counter, dict or iterable."
        told, found = [
            things if isinstance(things, dict) else Counter(things)
            for things in [told, found]]
        self.compared[name] = [
            things.total() if isinstance(things, Counter) else len(things)
            for things in [told, found]]
        self._none(f"not as told, {name}", [
                (thing, told.get(thing), found.get(thing))
                for thing in {*told, *found}
                if told.get(thing) != found.get(thing)])

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
            self._none(claim, self._ids(f'SELECT {column} FROM {rows}'))
        self._orders()
        self._studies()
        self._reports()
        self._worklists()
        self._none("links", faults(self.hospital.database))
        self._none("temporary files", self._leaks())
        self._none("processes that grow", growing(self.hospital.parts))
        self._none("log", surprises(self.hospital.folder))
        self.counts.update({
                name: self._count(rows) for name, rows in _COUNTED.items()})
        if self.hospital.parts.minutes >= 5:
            self._none("nothing was done of", [
                    name for name in _DONE if not self.compared[name][0]])

    def _orders(self):
        "Check that each order is there as often as people were told."
        self._same("exams ordered",
            Counter({t: len(r) for t, r in self.journal.orders.items()}),
            self._ids('SELECT clinical_question FROM '
                f"{_REQUEST} WHERE clinical_question LIKE 'soak %'"))
        self._same("exams canceled", self.journal.canceled, self._ids(
                f"SELECT id FROM {_REQUEST} WHERE state = 'canceled'"))
        steps = {step for _, step in self.journal.examined.values() if step}
        self._same("steps told by the machine", steps,
            self._ids(f'SELECT uid FROM {_STEP}'))
        self._none("steps without their request", steps - set(self._ids(
                    f'SELECT s.uid FROM {_STEP} s '
                    f'JOIN "{_STEP}-request" l ON l.step = s.id')))

    def _studies(self):
        "Check that the images of each exam are at its request."
        rows = {uid: tuple(rest) for uid, *rest in self.hospital.query(
                'SELECT s."study_instance_UID", r.merge_id, '
                's.patient = r.patient, s.number_of_instances - '
                f'(SELECT count(*) FROM {_REPORT} p '
                "WHERE p.study = s.id AND p.state = 'stored') "
                f'FROM {_STUDY} s LEFT JOIN {_REQUEST} r '
                'ON s.request = r.id')}
        examined = self.journal.examined
        self._same("exams with their images", {
                uid: (uid, True, images)
                for uid, (images, _) in examined.items()}, rows)
        self._same("images", Counter({
                    uid: images for uid, (images, _) in examined.items()}),
            Counter({uid: images for uid, (*_, images) in rows.items()}))
        remote = self.hospital.orthanc.rest('GET', '/statistics')
        if (remote['CountStudies'], remote['CountInstances']) != (
                len(rows), self._images()):
            self.wrong.append(f"Orthanc has {remote}")

    def _reports(self):
        "Check that each signed report is in the PACS once."
        signed = self.journal.signed
        self._same("reports signed", signed, self._ids(
                f"SELECT id FROM {_RESULT} WHERE state = 'final'"))
        stored = self._ids(
            f"SELECT result FROM {_REPORT} WHERE state = 'stored'")
        self._same("reports stored", signed, stored)
        series = Counter(
            (s['ParentStudy'], s['MainDicomTags'].get('SeriesDescription'))
            for s in self.hospital.orthanc.rest('GET', '/series?expand')
            if s['MainDicomTags'].get('Modality') != 'CT')
        self.compared["reports in the PACS"] = len(signed), series.total()
        self._none("reports that the PACS has twice", [
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
        to_do = known - self.journal.examined.keys()
        self._same("exams to do", to_do, open_)
        self._same("worklist files", to_do, self._files())
        node, _ = self.hospital.machines
        offered = [str(e.StudyInstanceUID) for e in node.worklist()]
        rpc = Rpc(NODE.login, seed.PASSWORD, self.hospital.url)
        entries = rpc('model.gnuhealth.imaging.test.request.'
            'get_worklist_entries', None, {'aetitles': [node.aet]})['entries']
        self.compared["exams the node offers"] = len(entries), len(offered)
        if len(offered) != len(set(offered)) or (
                len(offered) != len(entries)) or set(offered) - open_:
            self.wrong.append(f"the node offers {len(offered)}, "
                f"GNU Health {len(entries)}")

    def _leaks(self):
        "Return the temporary files that are left, or stayed too long."
        hospital = self.hospital
        return [str(path) for path in [
                *(path for part in hospital.parts.parts.values()
                    for path in {*leaks(part.temporary), *part.leaked}),
                *(path for folder in [
                        hospital.orthanc.worklists,
                        hospital.folder / 'node' / 'data']
                    for path in Path(folder).iterdir()
                    if not KEPT.fullmatch(path.name))]]


def growing(parts):
    """Return the processes that have much more memory at the end than when
    they were warm, texts.

    :param parts: parts.Parts
    """
    return [
        f'{part.name}: {begin:.0f} to {end:.0f} MiB'
        for part, begin, end in parts.memory()
        if end - begin > max(GROWTH, PART * begin)]


def surprises(folder):
    """Return what the logs say that no outage explains.

    :param folder: of the hospital
    """
    found = Counter()
    for name in LOGS:
        text = (folder / f'{name}.log').read_text(errors='replace')
        for entry in re.split(r'\n(?=\d+ \d+ \[|\S+ \[)', text):
            lines = entry.splitlines() or ['']
            first, last = lines[0], lines[-1]
            is_bad = re.search(r' (ERROR|CRITICAL) ', first) or (
                'Traceback' in entry or 'should not happen' in entry)
            if is_bad and not EXPECTED.search(entry):
                found[f'{name}: {first[-150:]} | {last[-200:]}'] += 1
    return [f'{count} x {text}' for text, count in found.items()]
