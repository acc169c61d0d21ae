# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Real images of pydicom as studies of their own, and a hospital in the test
process with a PACS, behind a server that can do harm."""
import io
import itertools
import json
import xml.etree.ElementTree as ET
from contextlib import ExitStack, contextmanager
from pathlib import Path

import data_store
import pydicom
from pydicom.uid import generate_uid
from services import Orthanc

from trytond.modules.health_orthanc.archive.orthanc import OrthancClient
from trytond.pool import Pool
from trytond.protocols.jsonrpc import JSONEncoder
from trytond.transaction import Transaction

from .fault_server import FaultServer
from .records import (
    PASSWORD, Rpc, make_institution, make_professional, make_result, make_user)

FOLDERS = [
    Path(pydicom.__file__).parent / 'data' / 'test_files',
    Path(data_store.__file__).parent / 'data',
    ]
STUDY = 'gnuhealth.imaging_orthanc.study'
SERIES = 'gnuhealth.imaging_orthanc.study_series'
INSTANCE = 'gnuhealth.imaging_orthanc.series_instances'
PREVIEW = 'gnuhealth.imaging_orthanc.preview'
LOGINS = {
    'keeper': ['health_orthanc.group_imaging_orthanc_admin'],
    'radiologist': [
        'health.group_health_doctor', 'health_imaging.group_health_imaging',
        'health_imaging.group_health_imaging_reporting'],
    'desk': ['health.group_health_frontdesk'],
    'health_admin': ['health.group_health_admin'],
    }

_counter = itertools.count(1)


def read_file(name):
    "Return the bytes of a test file of pydicom."
    for folder in FOLDERS:
        if (folder / name).exists():
            return (folder / name).read_bytes()
    raise FileNotFoundError(name)


def variant(name, study=None, series=None, **values):
    """Return a test file as an instance of its own.

    :param study: StudyInstanceUID, None: a new one
    :param series: SeriesInstanceUID, None: a new one
    :param values: by DICOM keyword; None removes the attribute
    """
    dataset = pydicom.dcmread(io.BytesIO(read_file(name)), force=True)
    dataset.StudyInstanceUID = study or generate_uid()
    dataset.SeriesInstanceUID = series or generate_uid()
    dataset.SOPInstanceUID = generate_uid()
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    dataset.PatientID = f'TEST-{next(_counter)}'
    for keyword, value in values.items():
        if value is None:
            if keyword in dataset:
                del dataset[keyword]
        else:
            setattr(dataset, keyword, value)
    content = io.BytesIO()
    dataset.save_as(content)
    return content.getvalue()


def ct_series(count, study=None, **values):
    "Return a series of CT slices, list of bytes."
    study, series = study or generate_uid(), generate_uid()
    values = {'PatientID': f'TEST-{next(_counter)}', **values}
    return [
        variant('CT_small.dcm', study, series, InstanceNumber=number,
            ImagePositionPatient=[-10.4, 20.6, 5 * number], **values)
        for number in range(1, count + 1)]


class Hospital:
    """A PACS with a server before it that can do harm, and users.

    :param options: of services.Orthanc
    :ivar orthanc: services.Orthanc
    :ivar faults: FaultServer before it, which is what GNU Health knows
    :ivar server: id of the server's record
    """

    def __init__(self, folder, **options):
        self._stack = ExitStack()
        self.orthanc = self._stack.enter_context(Orthanc(folder, **options))
        self.faults = self._stack.enter_context(
            FaultServer(self.orthanc.url))
        with self.transaction():
            Server = Pool().get('gnuhealth.orthanc.config')
            make_institution()
            self.users = {
                login: make_user(login, *groups, password=PASSWORD).id
                for login, groups in LOGINS.items()}
            User = Pool().get('res.user')
            for login in ['keeper', 'radiologist']:
                make_professional(User(self.users[login]), login)
            server, = Server.create([{
                        'label': "PACS",
                        'domain': self.faults.url,
                        'user': self.orthanc.user,
                        'password': self.orthanc.password,
                        'connect_timeout': 2,
                        'read_timeout': 2,
                        }])
            self.server = server.id
        self._rpcs = {}
        self.sync()

    def close(self):
        self._stack.close()

    @contextmanager
    def transaction(self, login=None):
        """A transaction of a user, who goes on where the server warns; others
        see it when it is over."""
        from trytond.tests.test_tryton import DB_NAME
        user = self.users[login] if login else 1
        with Transaction().start(DB_NAME, user, context={
                    '_skip_warnings': True}) as transaction:
            yield transaction

    def rpc(self, login):
        "Return a user who comes through the web application."
        if login not in self._rpcs:
            self._rpcs[login] = Rpc(login)
        return self._rpcs[login]

    def write_server(self, **values):
        "Write values of the server's record."
        with self.transaction():
            Server = Pool().get('gnuhealth.orthanc.config')
            Server.write([Server(self.server)], values)

    def client(self):
        "Return a client for the PACS itself."
        return OrthancClient(
            self.orthanc.url, self.orthanc.user, self.orthanc.password)

    def sync(self, full=False):
        "Synchronize, and return the state of the run."
        with self.transaction():
            pool = Pool()
            Server = pool.get('gnuhealth.orthanc.config')
            Run = pool.get('gnuhealth.orthanc.sync_run')
            run = Server.sync_server(Server(self.server), full=full)
            return Run(run).state

    def store(self, *files):
        """Store files in the PACS, synchronize, and return the id of the
        study of the first."""
        with self.client() as client:
            stored = [client.upload(file)[0] for file in files]
        assert all(s.status == 'stored' for s in stored), stored
        assert self.sync() == 'done'
        return self.ids(STUDY, [('orthanc_UID', '=', stored[0].study)])[0]

    def ids(self, model, domain):
        "Return the ids of records, in their order."
        with self.transaction():
            return [r.id for r in Pool().get(model).search(domain)]

    def series(self, study):
        return self.ids(SERIES, [('study', '=', study)])

    def instances(self, study):
        return self.ids(INSTANCE, [('series.study', '=', study)])

    def read(self, model, id_, *names):
        "Return values of a record by name, None when it is gone."
        with self.transaction():
            Model = Pool().get(model)
            if Model.search([('id', '=', id_)], count=True):
                row, = Model.read([id_], list(names))
                return row

    def link(self, study, final=False):
        "Link a study to a new result, and return the id of the result."
        with self.transaction():
            pool = Pool()
            Study = pool.get(STUDY)
            result = make_result(comment="No fracture.")
            Study.write([Study(study)], {'patient': result.patient.id})
            Study.write([Study(study)], {'imaging_test': result.id})
            id_ = result.id
        if final:
            self.sign(id_)
        return id_

    def sign(self, result):
        with self.transaction('radiologist'):
            Result = Pool().get('gnuhealth.imaging.test.result')
            Result.finalize([Result(result)])

    def log(self, **values):
        "Return the lines of the access log with some values, newest first."
        with self.transaction():
            Log = Pool().get('gnuhealth.orthanc.access_log')
            lines = Log.search(
                [(name, '=', value) for name, value in values.items()])
            rows = Log.read([line.id for line in lines], [
                    'action', 'user', 'study', 'study_instance_UID',
                    'patient', 'patient_text', 'details'])
            return sorted(rows, key=lambda row: row['id'], reverse=True)


def context_of(model, *ids):
    "Return the context of a wizard that is started on records."
    return {
        'active_model': model, 'active_id': ids[0], 'active_ids': list(ids)}


class Preview:
    """A person in the preview, as the clients do it.

    :param model: of what it is started on, and id
    :ivar values: what the form shows
    :ivar sent: how many characters each click sent
    """

    def __init__(self, hospital, login, model, id_):
        self.rpc, self.sent = hospital.rpc(login), []
        self._context = context_of(model, id_)
        self._session, start, _ = self.rpc(
            f'wizard.{PREVIEW}.create', **self._context)
        self.values, self._view = {}, None
        self.execute(start)

    def execute(self, state):
        "Press a button of the wizard, and return what it answers."
        data = {'show': self.values} if self.values else {}
        result = self.rpc(
            f'wizard.{PREVIEW}.execute', self._session, data, state,
            **self._context)
        self._view = result['view']
        self.values = {
            name: value for name, value in self._view['defaults'].items()
            if '.' not in name}
        return result

    def click(self, button, **changes):
        "Press a button of the form; it sends what the view names."
        self.values.update(changes)
        element = ET.fromstring(self._view['fields_view']['arch']).find(
            f'.//button[@name="{button}"]')
        assert element.get('type') == 'instance'
        data = {name: self.values.get(name)
            for name in json.loads(element.get('change'))}
        self.sent.append(len(json.dumps(data, cls=JSONEncoder)))
        changed = self.rpc(f'model.{PREVIEW}.show.{button}', data)
        self.values.update({
                name: value for name, value in changed.items()
                if '.' not in name and name != 'id'})

    @property
    def picture(self):
        "The picture that it shows, bytes or None."
        return self.values.get('picture')
