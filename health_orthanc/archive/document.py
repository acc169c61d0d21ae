# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A PDF as a DICOM file: Encapsulated PDF (PS3.3, A.45.1)."""
import datetime as dt
import io
import re

from pydicom import config
from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import (
    EncapsulatedPDFStorage, ExplicitVRLittleEndian, generate_uid)

#: What a document takes from an image of its study (PS3.3, C.7.1.1, C.7.2.1).
OF_STUDY = [
    'PatientName', 'PatientID', 'IssuerOfPatientID', 'PatientBirthDate',
    'PatientSex', 'StudyInstanceUID', 'StudyDate', 'StudyTime', 'StudyID',
    'StudyDescription', 'AccessionNumber', 'ReferringPhysicianName']
# Of these only what is there is written, the others have type 2.
_OPTIONAL = {'IssuerOfPatientID', 'StudyDescription'}
_DEFAULTS = {
    'Modality': 'DOC',
    'SeriesNumber': '1',
    'InstanceNumber': '1',
    'DocumentTitle': '',
    'ConversionType': 'WSD',
    'BurnedInAnnotation': 'YES',
    'Manufacturer': 'GNU Health',
    # When what is told was acquired: the images say it.
    'AcquisitionDateTime': '',
    }
# PS3.16, CID 7000: Diagnostic Imaging Report Document Titles
_CONCEPT = {
    'CodeValue': '18748-4',
    'CodingSchemeDesignator': 'LN',
    'CodeMeaning': 'Diagnostic imaging report',
    }
# What a value must look like (PS3.5, 6.2); what does not is unknown.
_FORMS = {
    'PatientSex': r'[MFO]',
    'PatientBirthDate': r'\d{8}',
    'StudyDate': r'\d{8}',
    'StudyTime': r'\d{2}(\d{2}(\d{2}(\.\d{1,6})?)?)?',
    }


def encapsulated(pdf, image, values):
    """Return a PDF as a DICOM file, bytes, in UTF-8.

    :param bytes pdf: the document
    :param image: the attributes of an image of the study by DICOM keyword
    :param values: of series and document, str by DICOM keyword
    :raises ValueError: it is no PDF, DICOM knows no such keyword, or a value
        is the study's own
    """
    if not pdf.startswith(b'%PDF-'):
        raise ValueError("This is no PDF document.")
    if values.keys() & set(OF_STUDY):
        raise ValueError("Patient and study cannot be given.")
    now, dataset, concept = dt.datetime.now(), Dataset(), Dataset()
    values = {
        **_of_study(image), **_DEFAULTS,
        'ContentDate': f'{now:%Y%m%d}',
        'ContentTime': f'{now:%H%M%S}',
        'SeriesInstanceUID': generate_uid(None),
        'SOPInstanceUID': generate_uid(None),
        **values}
    for keyword, value in values.items():
        tag = tag_for_keyword(keyword)
        if tag is None:
            raise ValueError(f"DICOM knows no {keyword!r}.")
        dataset.add(DataElement(
                tag, dictionary_VR(tag), value,
                # The study keeps what it has, be it as odd as it may.
                validation_mode=config.IGNORE))
    for keyword, value in _CONCEPT.items():
        setattr(concept, keyword, value)
    dataset.ConceptNameCodeSequence = [concept]
    dataset.SOPClassUID = EncapsulatedPDFStorage
    dataset.MIMETypeOfEncapsulatedDocument = 'application/pdf'
    # An element has an even length (PS3.5, 7.1.1): one byte may be added.
    dataset.EncapsulatedDocument = pdf + b'\0' * (len(pdf) % 2)
    dataset.EncapsulatedDocumentLength = len(pdf)
    dataset.SpecificCharacterSet = 'ISO_IR 192'
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    file = io.BytesIO()
    dataset.save_as(file, enforce_file_format=True)
    return file.getvalue()


def _of_study(image):
    "Return the values of patient and study, empty where they are not known."
    values = {}
    for keyword in OF_STUDY:
        value = image.get(keyword)
        # Not stripped: a blank before a PatientID makes it another one.
        value = value if isinstance(value, str) else ''
        form = _FORMS.get(keyword)
        if form and not re.fullmatch(form, value):
            value = ''
        if value or keyword not in _OPTIONAL:
            values[keyword] = value
    return values
