# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A patient with a request, its study in a real PACS, and what can be seen of
them: for the table of what follows from a changed link."""
import datetime as dt
import io
import itertools
from contextlib import contextmanager

import pydicom
from sql import Update

from trytond.modules.health_orthanc.links import ledger
from trytond.modules.health_orthanc.links.link import Link
from trytond.pool import Pool
from trytond.transaction import without_check_access

from . import archive
from .images import INSTANCE, STUDY
from .records import make_exam, make_patient, make_request

REQUEST = 'gnuhealth.imaging.test.request'
RESULT = 'gnuhealth.imaging.test.result'
EVENT = 'gnuhealth.orthanc.link_event'

_numbers = itertools.count(1)


@contextmanager
def ledger_only():
    """Return the list of the SQL statements that write the link of studies
    meanwhile, and are not the ledger's."""
    keep, text, own, foreign = ledger.keep, Update.__str__, [], []

    def keep_and_tell(*args, **options):
        own.append(True)
        try:
            return keep(*args, **options)
        finally:
            own.pop()

    def text_and_tell(update):
        columns = {column.name for column in update.columns}
        if (not own and columns & {*Link._fields}
                and getattr(update.table, '_name', '').endswith(
                    'imaging_orthanc_study')):
            foreign.append(text(update))
        return text(update)
    ledger.keep, Update.__str__ = keep_and_tell, text_and_tell
    try:
        yield foreign
    finally:
        ledger.keep, Update.__str__ = keep, text


class World:
    """Ana with a CT that was asked for and done, and Eva.

    Their records are arranged without rights; what is tried comes over RPC.

    :param hospital: images.Hospital
    :param state: of the result: none, draft or final
    :param study: whether the images are there already
    :param values: of archive.Study, where they are others
    """

    def __init__(self, hospital, state='none', study=True, **values):
        self.hospital = hospital
        self.state = state
        self.number = 5000 + 7 * next(_numbers)
        self.puid = f'ANA{self.number}'
        # Of her own, else the other Anas would be candidates.
        self.born = dt.date(1980, 1, 1) + dt.timedelta(days=self.number)
        with hospital.transaction():
            self._make_people()
        self.values = {
            'uid': f'{archive.ROOT}.8.{self.number}',
            'patient_id': self.puid, 'patient_name': 'Betz^Ana',
            'birth_date': f'{self.born:%Y%m%d}', 'sex': 'F', 'charset': '',
            'encoding': 'ascii', 'omitted': frozenset(),
            'date': f'{dt.date.today():%Y%m%d}',
            'accession_number': self.order, 'series': 1, 'instances': 1,
            **values}
        self.study = self.result = None
        if study:
            self.study = self.store()
        if state != 'none':
            self._report()
        self._before = self._last_ids()

    @without_check_access
    def _make_people(self):
        Request = Pool().get(REQUEST)
        self.exam = getattr(self.hospital, 'exam_of_links', None)
        if not self.exam:
            self.exam = make_exam("CT of links", type_='ctscan').id
            self.hospital.exam_of_links = self.exam
        exam = Pool().get('gnuhealth.imaging.test')(self.exam)
        ana = make_patient("Ana", "Betz", 'f', self.born, ref=self.puid)
        eva = make_patient(
            "Eva", "Other", 'f', dt.date(1970, 1, 2), ref=f'EVA{self.number}')
        self.patient, self.party = ana.id, ana.party.id
        self.other, self.other_party = eva.id, eva.party.id
        request = make_request(ana, exam)
        Request.requested([request])
        self.request, self.order = request.id, request.request

    def store(self, **values):
        "Send the study to the PACS, and return its id here."
        self.send(**values)
        assert self.hospital.sync() == 'done'
        return self.find()

    def send(self, **values):
        archive.upload(self.hospital.orthanc, [
                archive.study(self.number, **{**self.values, **values})])

    def find(self):
        "Return the id of the study that is on the server."
        found = self.hospital.ids(STUDY, [
                ('study_instance_UID', '=', self.values['uid']),
                ('missing_since', '=', None),
                ('orthanc_server', '=', self.hospital.server)])
        return found[0] if found else None

    def delete_in_pacs(self, level='studies', number=None):
        "Delete the study, or so many of its series, where they are."
        query = {'StudyInstanceUID': self.values['uid']}
        kind = {'studies': 'Study', 'series': 'Series'}[level]
        for id_ in self.hospital.orthanc.rest('POST', '/tools/find', {
                    'Level': kind, 'Query': query})[:number]:
            self.hospital.orthanc.rest('DELETE', f'/{level}/{id_}')

    def correct(self, **values):
        """Correct attributes of all instances of the study where they are.

        :param values: by DICOM keyword
        """
        orthanc, files = self.hospital.orthanc, []
        found, = orthanc.rest('POST', '/tools/find', {
                'Level': 'Study',
                'Query': {'StudyInstanceUID': self.values['uid']}})
        with self.hospital.client() as client:
            for instance in client.bulk(
                    'instances', [found], source='studies'):
                content = client.request(
                    'GET', f'/instances/{instance["ID"]}/file').body
                dataset = pydicom.dcmread(io.BytesIO(content))
                for keyword, value in values.items():
                    setattr(dataset, keyword, value)
                corrected = io.BytesIO()
                dataset.save_as(corrected)
                files.append(corrected.getvalue())
        self.delete_in_pacs()
        for content in files:
            orthanc.rest('POST', '/instances', content)
        assert self.hospital.sync() == 'done'

    def _report(self):
        "Make the result with a picture of the study, as the radiologist."
        rpc = self.hospital.rpc('radiologist')
        rpc(f'model.{REQUEST}.generate_results', [self.request])
        self.result, = self.hospital.ids(
            RESULT, [('request', '=', self.request)])
        rpc(f'model.{RESULT}.write', [self.result], {'comment': "Fine."})
        if self.study:
            instance, = self.hospital.instances(self.study)[:1]
            rpc(f'model.{INSTANCE}.attach_image_to_imaging_test_report',
                [instance])
        if self.state == 'final':
            rpc(f'model.{RESULT}.finalize', [self.result])

    # What can be seen

    def _last_ids(self):
        with self.hospital.transaction():
            return {
                name: max((r.id for r in Pool().get(name).search([])),
                    default=0)
                for name in ['gnuhealth.orthanc.link_log',
                    'gnuhealth.orthanc.access_log']}

    def _new_lines(self, name):
        "Return the new lines of a log on the studies with the UID."
        return Pool().get(name).search([
                ('id', '>', self._before[name]),
                ('study_instance_UID', '=', self.values['uid'])],
            order=[('id', 'ASC')])

    def seen(self):
        "Return what became of everything, texts by column of the table."
        with self.hospital.transaction():
            pool = Pool()
            Study, Result = pool.get(STUDY), pool.get(RESULT)
            ids = self.find_all()
            study = Study(ids[-1]) if ids else None
            result = None
            if self.result and Result.search([('id', '=', self.result)]):
                result = Result(self.result)
            return {
                "Study": self._study_text(study),
                "History": self._history(),
                "Access log": self._access(),
                "Candidates": self._candidates(study),
                "Worklist": self._worklist(),
                "Of the request": self._number_of(REQUEST, self.request),
                "Of the result": self._number_of(RESULT, self.result),
                "Picture": self._picture(result),
                "Signed": (
                    'marked' if result and result.studies_changed_at
                    else 'as it was'),
                "Stored PDF": self._pdf(),
                }

    def find_all(self):
        "Return the ids of the study, those that are missing first."
        Study = Pool().get(STUDY)
        found = Study.search([
                ('study_instance_UID', '=', self.values['uid']),
                ('orthanc_server', '=', self.hospital.server)])
        return [s.id for s in sorted(found, key=lambda s: (
                    not s.missing_since, s.id))]

    def _name(self, patient):
        names = {self.patient: 'Ana', self.other: 'Eva'}
        return names.get(patient.id, 'other') if patient else ''

    def _study_text(self, study):
        if not study:
            return 'gone'
        text = self._name(study.patient) or 'nobody'
        if study.request:
            text += ', request' if study.request.id == self.request \
                else ', other request'
        if study.imaging_test:
            text += ', result'
        if study.link_state == 'review':
            text = 'to review'
        return text + (', missing' if study.missing_since else '')

    def _history(self):
        lines = self._new_lines('gnuhealth.orthanc.link_log')
        # The last line of the study that is there, and by whom.
        users = {
            line.user.login if line.user else '' for line in lines}
        causes = dict.fromkeys(line.cause for line in lines)
        return ', '.join(filter(None, causes)) + (
            f' by {", ".join(sorted(users))}' if lines else '')

    def _access(self):
        return ', '.join(
            f'{line.action} {self._name(line.patient)}'.strip()
            for line in self._new_lines('gnuhealth.orthanc.access_log')
            if line.action in {'link', 'unlink', 'delete'})

    def _candidates(self, study):
        return ', '.join(sorted(
                self._name(c.patient)
                + (' with request' if c.request else '')
                for c in study.candidates)) if study else ''

    def _worklist(self):
        Request = Pool().get(REQUEST)
        if not Request.search([('id', '=', self.request)]):
            return 'gone'
        request = Request(self.request)
        return f'{request.state}, {request.worklist_status}'

    def _number_of(self, model, id_):
        "Return how many studies a request or a result has."
        Model = Pool().get(model)
        found = Model.search([('id', '=', id_ or -1)])
        return str(len(found[0].orthanc_studies)) if found else ''

    def _picture(self, result):
        if not result or not self.study:
            return ''
        pictures = [a for a in result.images if a.imaging_study]
        return 'in the result' if pictures else 'taken out'

    def _pdf(self):
        Report = Pool().get('gnuhealth.orthanc.report')
        found = Report.search([('result', '=', self.result or -1)])
        return ', '.join(sorted({r.state for r in found}))
