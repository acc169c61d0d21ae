# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The modality node, and a machine that uses it: it asks the node for its
worklist, and tells it when an exam begins and ends (MPPS)."""
import datetime as dt
import sys
import time
import zoneinfo
from contextlib import contextmanager
from pathlib import Path

import seed
from modality import Modality, ModalityError
from proteus import Model
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import generate_uid
from services import HOST, Process, Service

SCRIPT = (Path(__file__).parents[1]
    / 'scripts' / 'imaging' / 'modality_node.py')
PERFORMED_STEP = '1.2.840.10008.3.1.2.3.3'
MACHINE = 'gnuhealth.imaging_worklist.machine'
# The user of the node, who may do nothing else.
NODE = seed.Login('node',
    seed.Person("Modality", "Node", None, None, None, None),
    ['health_imaging_worklist.group_worklist_script'])
SECONDS = 30
#: What a node answers who tells again that a step begins, or is over.
DUPLICATE, OVER = 0x0111, 0x0110


class Node(Service):
    """A modality node with its data, password and log in a folder.

    :param trytond: the services.Trytond that it asks
    :param password: of the user of NODE
    """
    aet = 'GNUHEALTH'
    port_count, patience = 1, 60

    def __init__(self, folder, trytond, password):
        super().__init__(folder)
        self._trytond, self._password = trytond, password
        self.processes = [Process([], self.folder / 'node.log')]

    def _configure(self):
        password = self.folder / 'password'
        password.touch(mode=0o600)
        password.write_text(self._password)
        self.processes[0].command = [str(word) for word in [
                sys.executable, SCRIPT, '-H', HOST, '-p', self._trytond.port,
                '-d', self._trytond.database, '-u', NODE.login,
                '--password-file', password, '--data', self.folder / 'data',
                '--aet', self.aet, '--dicom-port', self.ports[0],
                '-s', '.5']]

    def _ready(self):
        return 'Machines: ' in self.processes[0].log.read_text()


class Scanner(Modality):
    """A modality that asks a node, tells it what it does, and sends its
    images to a PACS.

    :param node: a Node that runs
    :param pacs: services.Orthanc
    """

    def __init__(self, aet, node, pacs, folder):
        super().__init__(aet, HOST, pacs.dicom_port, pacs.aet, folder)
        self._node = Modality(aet, HOST, node.ports[0], node.aet, folder)

    def worklist(self, **keys):
        """Query the worklist of the node; see Modality."""
        return self._node.worklist(**keys)

    @contextmanager
    def _association(self):
        from pynetdicom import AE
        entity = AE(self.aet)
        entity.add_requested_context(PERFORMED_STEP)
        host, port = self._node.server
        association = entity.associate(
            host, int(port), ae_title=self._node.called)
        if not association.is_established:
            raise ModalityError("The modality node takes no performed steps.")
        try:
            yield association
        finally:
            association.release()

    def begin(self, entry, uid=None):
        """Tell that the exam of a worklist entry begins (N-CREATE).

        :param entry: data set of the worklist
        :param uid: of a step of which it was told before, without an answer
        :return: the SOP Instance UID of the performed step
        """
        step, = entry.ScheduledProcedureStepSequence
        scheduled, attributes = Dataset(), Dataset()
        scheduled.StudyInstanceUID = entry.StudyInstanceUID
        scheduled.AccessionNumber = entry.AccessionNumber
        scheduled.RequestedProcedureID = entry.RequestedProcedureID
        attributes.ScheduledStepAttributesSequence = [scheduled]
        for keyword in ['SpecificCharacterSet', 'PatientName', 'PatientID',
                'PatientBirthDate', 'PatientSex']:
            if keyword in entry:
                setattr(attributes, keyword, entry[keyword].value)
        attributes.Modality = step.Modality
        attributes.PerformedProcedureStepID = '1'
        attributes.PerformedStationAETitle = self.aet
        attributes.PerformedProcedureStepStatus = 'IN PROGRESS'
        _stamp(attributes, 'Start')
        known, uid = [DUPLICATE] if uid else [], uid or generate_uid()
        with self._association() as association:
            _check(association.send_n_create(
                    attributes, PERFORMED_STEP, uid), *known)
        return uid

    def complete(self, uid, paths, *known):
        """Tell that an exam is done (N-SET).

        :param uid: of the performed step
        :param paths: of the images that were made, all of one series
        :param known: statuses that are right, too: OVER when it is told again
        """
        images, references = [dcmread(path) for path in paths], []
        for image in images:
            reference = Dataset()
            reference.ReferencedSOPClassUID = image.SOPClassUID
            reference.ReferencedSOPInstanceUID = image.SOPInstanceUID
            references.append(reference)
        series, attributes = Dataset(), Dataset()
        series.SeriesInstanceUID = images[0].SeriesInstanceUID
        series.ProtocolName = images[0].StudyDescription
        series.ReferencedImageSequence = references
        attributes.PerformedSeriesSequence = [series]
        attributes.PerformedProcedureStepStatus = 'COMPLETED'
        _stamp(attributes, 'End')
        with self._association() as association:
            _check(association.send_n_set(
                    attributes, PERFORMED_STEP, uid), *known)


def _stamp(attributes, which):
    """Set when a step starts or ends, by the clock of the hospital."""
    now = dt.datetime.now(zoneinfo.ZoneInfo(seed.TIMEZONE))
    name = f'PerformedProcedureStep{which}'
    setattr(attributes, f'{name}Date', f'{now:%Y%m%d}')
    setattr(attributes, f'{name}Time', f'{now:%H%M%S}')


def _check(answer, *known):
    status, _ = answer
    if getattr(status, 'Status', None) not in {0, *known}:
        raise ModalityError("The modality node did not take a step.")


def wait_for(get, right):
    """Call get until what it returns is right, some seconds at the most.

    :param right: function of what get returns
    :return: what get returned last
    """
    end = time.monotonic() + SECONDS
    while not right(found := get()) and time.monotonic() < end:
        time.sleep(0.2)
    return found


class NodeMixin:
    """What one machine of the story does with a node."""

    def _machines(self):
        """One machine gets the modality node, the others worklist files"""
        admin, exam = self.users['admin'], seed.CT_HEAD
        machine = Model.get(MACHINE, admin)(
            name="CT scanner 1", aetitle=exam.aetitle)
        machine.exams.append(self._exam('admin', exam))
        machine.save()
        company, = Model.get('company.company', admin).find([])
        seed.make_user(admin, NODE, company, self.password)
        self.node = self.servers.enter_context(
            Node(self.folder / 'node', self.server, self.password))
        self.modalities[exam] = Scanner(
            exam.aetitle, self.node, self.orthanc, self.folder / exam.aetitle)
        self.check(f"{exam.aetitle} may ask the node",
            self.modalities[exam].worklist() == [],
            f"DICOM port {self.node.ports[0]}")

    def _entries_of(self, exam, count):
        """Return the worklist of a machine; the node needs a moment for what
        is new."""
        get = self.modalities[exam].worklist
        return wait_for(get, lambda entries: len(entries) == count) \
            if exam is seed.CT_HEAD else get()

    def _acquire(self, person, exam, count):
        """Make the images of an exam and send them; the machine with the node
        tells of it."""
        modality, entry = self.modalities[exam], self.entries[person, exam]
        paths = modality.acquire(entry, count)
        if exam is not seed.CT_HEAD:
            return modality.send(paths)
        step = modality.begin(entry)
        request = self._told(person, exam, 'in_progress')
        self.check(f"the request of {person.family} shows Started",
            request.step_state == 'in_progress' and request.started_at
            and request.worklist_status == 'todo', request.step_note)
        modality.send(paths)
        modality.complete(step, paths)
        request = self._told(person, exam, 'completed')
        self.check("- and Completed, with the images to expect",
            request.step_state == 'completed' and request.ended_at
            and (request.images_arrived or '').startswith(f'0 of {count} '),
            f"{request.step_note}, {request.images_arrived}")
        uids = {e.StudyInstanceUID for e in wait_for(modality.worklist,
            lambda entries: entry.StudyInstanceUID not in {
                e.StudyInstanceUID for e in entries})}
        self.check(f"- {exam.aetitle} is not told to do it again",
            entry.StudyInstanceUID not in uids, f"{len(uids)} entries left")

    def _told(self, person, exam, state):
        """Return the request once its machine said how far the exam is."""
        return wait_for(
            lambda: self._request(seed.RADIOGRAPHER.login, person, exam),
            lambda request: request.step_state == state)
