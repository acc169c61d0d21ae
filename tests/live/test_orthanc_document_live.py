# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""PDF documents in studies of a real Orthanc: each is what DICOM says, as
dciodvfy of dicom3tools knows it, and belongs to its patient and study."""
import io
import subprocess

import pydicom
import pytest
from services import Orthanc
from support.images import variant

from trytond.modules.health_orthanc.archive.document import OF_STUDY
from trytond.modules.health_orthanc.archive.orthanc import OrthancClient

VALUES = {
    'SeriesDescription': 'Imaging report 1 revision 0',
    'SeriesNumber': '9000',
    'DocumentTitle': 'Imaging report 1 revision 0',
    }
EVEN, ODD = b'%PDF-1.4\r\n%%EOF\n', b'%PDF-1.4\n%%EOF\n'
NAMELESS = dict.fromkeys([
        'PatientName', 'PatientBirthDate', 'PatientSex', 'StudyDate',
        'StudyTime', 'StudyID', 'StudyDescription', 'AccessionNumber',
        'ReferringPhysicianName'])
# What differs from a CT of pydicom; None is missing.
PARENTS = {
    'plain': {},
    'Latin 1': {
        'SpecificCharacterSet': 'ISO_IR 100',
        'PatientName': 'Müller^Jürgen', 'PatientID': 'Ä-17',
        'StudyDescription': 'Schädel', 'ReferringPhysicianName': 'Weiß^Ö'},
    'Chinese': {
        'SpecificCharacterSet': 'GB18030',
        'PatientName': 'Chen^Lihua=陈^丽华', 'StudyDescription': '胸部'},
    'Japanese': {
        'SpecificCharacterSet': ['', 'ISO 2022 IR 87'],
        'PatientName': 'Yamada^Tarou=山田^太郎=やまだ^たろう'},
    'Cyrillic': {
        'SpecificCharacterSet': 'ISO_IR 144', 'PatientName': 'Иванова^Анна'},
    'UTF-8': {
        'SpecificCharacterSet': 'ISO_IR 192', 'PatientName': 'שלום^דוד'},
    'no birth date': {'PatientBirthDate': None},
    'no sex': {'PatientSex': None},
    'empty birth date and sex': {'PatientBirthDate': '', 'PatientSex': ''},
    'nothing of the patient': NAMELESS,
    'no PatientID': {'PatientID': None},
    'blanks around the PatientID': {'PatientID': ' 17 '},
    'odd values': {
        'PatientSex': 'X', 'PatientBirthDate': '1970.01.01',
        'StudyTime': '9:30', 'StudyDate': 'today'},
    'accession number': {
        'AccessionNumber': 'ACC17', 'StudyID': '4',
        'IssuerOfPatientID': 'HOSPITAL'},
    }


@pytest.fixture(scope='module')
def orthanc(tmp_path_factory):
    with Orthanc(tmp_path_factory.mktemp('orthanc')) as orthanc:
        yield orthanc


@pytest.fixture
def client(orthanc):
    with OrthancClient(
            orthanc.url, orthanc.user, orthanc.password) as client:
        yield client


def errors(file, folder):
    "Return what dciodvfy says is wrong with a file."
    path = folder / 'file.dcm'
    path.write_bytes(file)
    done = subprocess.run(
        ['dciodvfy', path], capture_output=True, text=True)
    assert 'EncapsulatedPDF' in done.stderr
    return [
        line for line in done.stderr.splitlines()
        if line.startswith(('Error', 'Warning'))
        # What the images do not have cannot be made up.
        and 'to build DICOMDIR' not in line]


@pytest.mark.parametrize('pdf', [EVEN, ODD], ids=['even', 'odd'])
@pytest.mark.parametrize('name', PARENTS)
def test_document_is_what_dicom_says(client, tmp_path, name, pdf):
    image, = client.upload(variant('CT_small.dcm', **PARENTS[name]))
    assert image.status == 'stored'
    id_ = client.store_pdf(image.study, pdf, VALUES)
    file = client.request('GET', f'/instances/{id_}/file').body
    assert errors(file, tmp_path) == []
    dataset = pydicom.dcmread(io.BytesIO(file))
    assert dataset.EncapsulatedDocument[:len(pdf)] == pdf
    assert client.request(
        'GET', f'/instances/{id_}/pdf').body[:len(pdf)] == pdf
    study, = client.bulk('studies', [id_], source='instances')
    assert study['ID'] == image.study
    assert len(study['Series']) == 2
    check_same_person(client, image.instance, id_, name)


def check_same_person(client, image, document, name):
    "Patient and study of the document are those of the image."
    expected, found = client.tags(image), client.tags(document)
    for keyword in OF_STUDY:
        value = expected.get(keyword, '')
        if name != 'odd values' or keyword not in PARENTS[name]:
            assert found.get(keyword, '') == value, keyword
    assert client.tags(document)['Modality'] == 'DOC'


def test_two_names_of_one_patient(client, tmp_path):
    "The document has the name of its own study."
    files = [
        variant('CT_small.dcm', PatientID='TWO', PatientName=name)
        for name in ['Doe^Jane', 'Roe^Jane']]
    for file, name in zip(files, ['Doe^Jane', 'Roe^Jane']):
        image, = client.upload(file)
        id_ = client.store_pdf(image.study, ODD, VALUES)
        assert client.tags(id_)['PatientName'] == name


def test_one_document_is_stored_once(client):
    image, = client.upload(variant('CT_small.dcm'))
    first = client.store_pdf(image.study, ODD, VALUES)
    second = client.store_pdf(image.study, ODD, VALUES)
    assert first != second
    values = {
        **VALUES, 'SeriesInstanceUID': '2.25.17', 'SOPInstanceUID': '2.25.18'}
    third = client.store_pdf(image.study, ODD, values)
    assert client.store_pdf(image.study, ODD, values) == third
