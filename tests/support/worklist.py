# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Worklist entries, from the text of a template to what a modality reads."""
import io
from functools import partial
from pathlib import Path
from xml.etree import ElementTree

import pydicom

from trytond.modules.health_imaging_worklist import dataset

#: A template without errors.
GOOD = '''(0008,0005) CS [$SpecificCharacterSet]
(0020,000d) UI [$StudyInstanceUID]
(0010,0010) PN [$PatientName]
(0010,0020) LO [$PatientID]
(0040,0100) SQ
  (fffe,e000) na
    (0008,0060) CS [$Modality]
    (0040,0001) AE [$ScheduledStationAETitle]
    (0040,0002) DA [$ScheduledProcedureStepStartDate]
    (0040,0003) TM [$ScheduledProcedureStepStartTime]
  (fffe,e00d) na
(fffe,e0dd) na
'''

from_dump = partial(dataset.from_text, template_type='dump2dcm')
from_json = partial(dataset.from_text, template_type='json')


def check(text, template_type, charset=None):
    """Return the list of findings of a rendered template, also when it cannot
    be read or not be written."""
    try:
        entry = dataset.from_text(text, template_type)
        findings = dataset.validate(entry)
        if not any(finding.is_error for finding in findings):
            dataset.to_bytes(entry, charset)
    except dataset.DatasetError as error:
        return error.findings
    return findings


#: The English texts of the messages of the module by name.
MESSAGES = {
    record.get('id'): record.find('field').text
    for record in ElementTree.parse(
        Path(dataset.__file__).with_name('message.xml')).iter('record')}


def said(error):
    """Return the sentences in English of a TemplateError, a DatasetError or a
    Finding, without their lines."""
    if isinstance(error, dataset.DatasetError):
        return ' '.join(map(said, error.findings))
    values = {
        name: MESSAGES[f'msg_kind_{value}']
        if name in {'kind', 'left', 'right'} else value
        for name, value in error.values.items()}
    sentence = MESSAGES[f'{error.message}_{error.code}'] % values
    return f'{error.attribute}: {sentence}' if error.attribute else sentence


def convert(text, template_type, charset=None):
    """Return the bytes of the file for a rendered template."""
    return dataset.to_bytes(
        dataset.complete(text, template_type, charset), charset)


def read_back(data):
    """Return the pydicom Dataset of the bytes of a worklist file, every value
    decoded."""
    entry = pydicom.dcmread(io.BytesIO(data))
    for element in entry.iterall():
        str(element.value)
    assert entry.file_meta.MediaStorageSOPClassUID == (
        dataset.SOP_CLASS_UID)
    return entry
