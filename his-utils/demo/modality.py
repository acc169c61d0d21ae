# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A modality to try a worklist with: it asks for its entries and sends images
as a scanner does, with the programs of dcmtk and real images."""
import subprocess
import tempfile
from pathlib import Path

import data_store
import pydicom
from pydicom.uid import generate_uid

# A real image for each modality, from the package pydicom-data.
IMAGES = {
    'CR': 'RG1_UNCR.dcm',
    'CT': '693_UNCR.dcm',
    'MR': 'MR2_UNCR.dcm',
    'US': 'US1_UNCR.dcm',
    }
# What an entry is asked for; the first ones are copied into the images.
IDENTITY = [
    'SpecificCharacterSet', 'AccessionNumber', 'ReferringPhysicianName',
    'PatientName', 'PatientID', 'PatientBirthDate', 'PatientSex',
    'StudyInstanceUID', 'TimezoneOffsetFromUTC']
PROCEDURE = [
    'RequestedProcedureID', 'RequestedProcedureDescription',
    'RequestedProcedurePriority', 'ReasonForTheRequestedProcedure',
    'RequestingPhysician']
SAFETY = ['MedicalAlerts', 'Allergies', 'PregnancyStatus']
STEP = [
    'Modality', 'ScheduledStationAETitle', 'ScheduledProcedureStepStartDate',
    'ScheduledProcedureStepStartTime', 'ScheduledProcedureStepID',
    'ScheduledProcedureStepDescription', 'ScheduledPerformingPhysicianName']


class ModalityError(Exception):
    """A program of dcmtk failed."""


def image_path(name):
    """Return the path of an image of the package pydicom-data."""
    return Path(data_store.__file__).parent / 'data' / name


class Modality:
    """A modality that uses a DICOM server.

    :param str aet: its own AE title
    :param host, port, called: address and AE title of the server
    :param folder: where it stores answers and images
    """

    def __init__(self, aet, host, port, called, folder):
        self.aet = aet
        self.server = [host, str(port)]
        self.called = called
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)

    def _run(self, program, *words):
        command = [program, '-aet', self.aet, '-aec', self.called, *words]
        try:
            result = subprocess.run(
                command, capture_output=True, text=True, errors='replace',
                timeout=120)
        except FileNotFoundError:
            raise ModalityError(
                f"There is no {program}: install the package dcmtk.")
        if result.returncode:
            raise ModalityError(f"{program} failed: {result.stderr.strip()}")

    def worklist(self, **keys):
        """Query the worklist (C-FIND).

        :param keys: values to match, by DICOM keyword; ScheduledStationAETitle
            is its own unless given
        :return: list of pydicom data sets, one for each entry
        """
        keys = {'ScheduledStationAETitle': self.aet, **keys}
        words = []
        for prefix, keywords in [
                ('', IDENTITY + PROCEDURE + SAFETY),
                ('ScheduledProcedureStepSequence[0].', STEP)]:
            for keyword in keywords:
                words += ['-k', f'{prefix}{keyword}={keys.get(keyword, "")}']
        answers = Path(tempfile.mkdtemp(prefix='worklist-', dir=self.folder))
        self._run(
            'findscu', '-W', '-X', '-od', str(answers), *words, *self.server)
        return [
            pydicom.dcmread(path, force=True)
            for path in sorted(answers.glob('rsp*.dcm'))]

    def acquire(self, entry, count=1):
        """Make the images of a worklist entry, all in one series.

        :param entry: data set of the worklist
        :param int count: how many images
        :return: list of paths
        """
        step, = entry.ScheduledProcedureStepSequence
        folder = Path(tempfile.mkdtemp(prefix='study-', dir=self.folder))
        image = pydicom.dcmread(image_path(IMAGES[step.Modality]))
        for keyword in IDENTITY:
            if keyword in entry:
                setattr(image, keyword, entry[keyword].value)
        image.StudyDescription = entry.get('RequestedProcedureDescription')
        image.StudyID = entry.get('RequestedProcedureID')
        image.StudyDate = image.SeriesDate = step.get(
            'ScheduledProcedureStepStartDate')
        image.StudyTime = image.SeriesTime = step.get(
            'ScheduledProcedureStepStartTime')
        image.Modality = step.Modality
        image.SeriesInstanceUID = generate_uid()
        image.SeriesNumber = 1
        image.SeriesDescription = step.get('ScheduledProcedureStepDescription')
        paths = [folder / f'{number}.dcm' for number in range(1, count + 1)]
        for number, path in enumerate(paths, 1):
            image.InstanceNumber = number
            image.SOPInstanceUID = generate_uid()
            image.file_meta.MediaStorageSOPInstanceUID = image.SOPInstanceUID
            image.save_as(path)
        return paths

    def send(self, paths):
        """Send images to the server (C-STORE); ModalityError when one is not
        accepted."""
        self._run('storescu', *self.server, *map(str, paths))
