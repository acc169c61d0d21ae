# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Neutral values of what a PACS lists, made from Orthanc's JSON. What is odd
in a DICOM file becomes a value that can be stored, or None."""
import itertools
import re
from typing import NamedTuple

from .texts import clean_text, parse_date, parse_integer, parse_sex, parse_time

#: The longest identifier; DICOM allows 64, some software writes more.
MAX_UID = 128
#: DICOM PS3.3 C.7.3.1.1.1: "Other", for a series without modality.
UNKNOWN_MODALITY = 'OT'
#: How many ids of what was ordered are read of a study.
MAX_REQUESTED = 50

_ORTHANC_ID = re.compile(r'[0-9A-Za-z-]{1,64}\Z')
# The ids of what was ordered, in the items of a RequestAttributesSequence
# (0040,0275, PS3.3 C.7.3.1 and 10.6).
_REQUESTED = ['ScheduledProcedureStepID', 'RequestedProcedureID',
    'AccessionNumber', 'StudyInstanceUID']
# What is corrected in the instances of a study, of which Orthanc goes on to
# list what the first one said.
_IDENTITY = ['AccessionNumber', 'StudyDate', 'StudyTime', 'StudyDescription',
    'StudyID', 'ReferringPhysicianName', 'PatientName', 'PatientBirthDate',
    'PatientSex']


class StudyValues(NamedTuple):
    """What a PACS lists of a study.

    :ivar str id: of the study in the PACS
    :ivar children: ids of its series, list
    :ivar problem: why it cannot be stored: no_uid or uid_too_long, or None
    :ivar patient: id of its patient in the PACS, or None
    :ivar dict columns: of the study, by name. Dates and times, texts and
        None; ``patient_name`` is always a text,
        ``patient_birth_date_text`` a PatientBirthDate that is no date
    :ivar dict identity: of whom and of what the study is, texts by keyword
    :ivar requested: see requested_ids; None when the PACS does not list it
    :ivar dict issuer: the column ``issuer``, if the PACS lists it
    """
    id: str
    children: list
    problem: str
    patient: str
    columns: dict
    identity: dict
    requested: tuple
    issuer: dict

    def corrected(self, correction):
        """Return the study as its instances tell it.

        :param correction: None, or a dict: what the PACS listed (identity)
            when an instance said otherwise (tags), and is right
        """
        if not correction or self.identity != correction['identity']:
            return self
        identity = {**self.identity, **correction['tags']}
        return self._replace(
            columns={**self.columns, **_identity_columns(identity)})


class SeriesValues(NamedTuple):
    """What a PACS lists of a series, see StudyValues.

    :ivar children: ids of its instances, list
    :ivar str study: id of its study in the PACS
    :ivar dict columns: of the series, by name, str or None
    """
    id: str
    children: list
    problem: str
    study: str
    columns: dict
    requested: tuple


class InstanceValues(NamedTuple):
    """What a PACS lists of an instance, see StudyValues. There are millions.

    :ivar str uid: SOP Instance UID (0008,0018)
    :ivar int number: InstanceNumber (0020,0013), or None
    :ivar str position: ImagePositionPatient (0020,0032), or None
    :ivar int frames: NumberOfFrames (0028,0008), positive, or None
    :ivar str series: id of its series in the PACS
    :ivar str sop_class: SOP Class UID (0008,0016), or None
    """
    id: str
    uid: str
    number: int
    position: str
    frames: int
    series: str
    sop_class: str = None
    problem: str = None


def study(record):
    "Return the StudyValues of anything that JSON holds, or None."
    if not _is_record(record, 'Study'):
        return None
    tags = _tags(record, 'MainDicomTags')
    of_all = {**tags, **_tags(record, 'PatientMainDicomTags')}
    uid, problem = _uid(tags, 'StudyInstanceUID')
    text, identity = _reader(tags), instance_identity(of_all)
    patient = record.get('ParentPatient')
    return StudyValues(
        record['ID'], valid_ids(record.get('Series')), problem,
        patient if is_id(patient) else None, {
            'orthanc_UID': record['ID'],
            'study_instance_UID': uid,
            **_identity_columns(identity),
            'patient_id': _reader(of_all)('PatientID'),
            'requesting_physician_name': text('RequestingPhysician'),
            'performing_physician_name': text('PerformingPhysicianName'),
            'requested_procedure_description': text(
                'RequestedProcedureDescription'),
            'institution': text('InstitutionName'),
            }, identity, _listed_requested(of_all),
        {'issuer': issuer(of_all)} if 'IssuerOfPatientID' in of_all else {})


def _identity_columns(identity):
    "Return the columns of a study that tell of whom and of what it is."
    birth_date = parse_date(identity['PatientBirthDate'])
    return {
        'date': identity['StudyDate'] or None,
        'study_date': parse_date(identity['StudyDate']),
        'study_time': parse_time(identity['StudyTime']),
        'description': identity['StudyDescription'] or None,
        'study_id': identity['StudyID'] or None,
        'accession_number': identity['AccessionNumber'] or None,
        'referring_physician_name': (
            identity['ReferringPhysicianName'] or None),
        'patient_name': identity['PatientName'],
        'patient_birth_date': birth_date,
        'patient_birth_date_text': (
            None if birth_date else identity['PatientBirthDate'] or None),
        'patient_sex': parse_sex(identity['PatientSex']),
        }


def series(record):
    "Return the SeriesValues of anything that JSON holds, or None."
    if not _is_record(record, 'Series', 'ParentStudy'):
        return None
    tags = _tags(record, 'MainDicomTags')
    uid, problem = _uid(tags, 'SeriesInstanceUID')
    text = _reader(tags)
    return SeriesValues(
        record['ID'], valid_ids(record.get('Instances')), problem,
        record['ParentStudy'], {
            'orthanc_UID': record['ID'],
            'series_UID': uid,
            'series_number': text('SeriesNumber'),
            'series_description': text('SeriesDescription'),
            'modality': (text('Modality') or UNKNOWN_MODALITY).upper(),
            'body_part': text('BodyPartExamined'),
            'protocol_name': text('ProtocolName'),
            'performing_physician_name': text('PerformingPhysicianName'),
            'institution': text('InstitutionName'),
            }, _listed_requested(tags))


def instance(record):
    "Return the InstanceValues of anything that JSON holds, or None."
    if not _is_record(record, 'Instance', 'ParentSeries'):
        return None
    tags = _tags(record, 'MainDicomTags')
    uid, problem = _uid(tags, 'SOPInstanceUID')
    frames = parse_integer(tags.get('NumberOfFrames'))
    return InstanceValues(
        record['ID'], uid,
        parse_integer(tags.get('InstanceNumber')),
        clean_text(tags.get('ImagePositionPatient')) or None,
        frames if frames and frames > 0 else None,
        record['ParentSeries'],
        sop_class(record['Metadata']) if 'Metadata' in record else None,
        problem)


def sop_class(metadata):
    "Return the SOP Class UID (0008,0016) in Orthanc's metadata, or None."
    uid = clean_text(
        isinstance(metadata, dict) and metadata.get('SopClassUid'))
    return uid if 0 < len(uid) <= MAX_UID else None


def requested_ids(tags):
    """Return the ids of what was ordered in tags by DICOM keyword, tuple of
    str without duplicates. What is too long is left out, not cut."""
    found = {}
    for item in _items(tags.get('RequestAttributesSequence')):
        for name in _REQUESTED:
            for text in _all_texts(item.get(name)):
                if '\\' not in text and 0 < len(text) <= MAX_UID:
                    found[text] = True
        if len(found) >= MAX_REQUESTED:
            break
    return tuple(found)[:MAX_REQUESTED]


def _items(value, depth=2):
    "Yield the items, dicts, of a sequence, in lists of lists too."
    if isinstance(value, dict):
        yield value
    elif isinstance(value, list) and depth:
        for item in value:
            yield from _items(item, depth - 1)


def _all_texts(value):
    yield clean_text(value)
    if isinstance(value, list):
        yield from map(clean_text, value)
    elif isinstance(value, str) and '\\' in value:
        yield from map(clean_text, value.split('\\'))


def issuer(tags):
    "Return the IssuerOfPatientID (0010,0021) in tags by keyword, or None."
    return clean_text(tags.get('IssuerOfPatientID')) or None


def details(tags):
    "Return the columns of a study in tags by keyword that no PACS lists."
    return {
        'requested_ids': '\\'.join(requested_ids(tags)) or None,
        'issuer': issuer(tags),
        }


def listed_details(study, series):
    """Return the details that a PACS lists, as Orthanc does where its
    ExtraMainDicomTags say so, of a StudyValues and list of SeriesValues."""
    listed = [
        item.requested for item in [study, *series]
        if item.requested is not None]
    found = dict(study.issuer)
    if listed:
        ids = dict.fromkeys(itertools.chain(*listed))
        found['requested_ids'] = (
            '\\'.join([*ids][:MAX_REQUESTED]) or None)
    return found


def instance_identity(tags):
    "Return of whom and of what a study is, of tags by DICOM keyword."
    return {name: clean_text(tags.get(name)) for name in _IDENTITY}


def _listed_requested(tags):
    if 'RequestAttributesSequence' in tags:
        return requested_ids(tags)


def _is_record(value, level, parent=None):
    "Return whether JSON describes a resource, with the id of a parent."
    return (isinstance(value, dict) and is_id(value.get('ID'))
        and value.get('Type', level) == level
        and (parent is None or is_id(value.get(parent))))


def is_id(value):
    "Return whether a value can be an id of Orthanc."
    return isinstance(value, str) and bool(_ORTHANC_ID.match(value))


def valid_ids(ids):
    "Return what can be ids of Orthanc of a list, without duplicates."
    return list(dict.fromkeys(filter(is_id, ids if isinstance(
                    ids, list) else ())))


def _tags(record, name):
    tags = record.get(name)
    return tags if isinstance(tags, dict) else {}


def _reader(tags):
    "Return a function that gives the text of a tag, None when it is empty."
    def text(name):
        return clean_text(tags.get(name)) or None
    return text


def _uid(tags, name):
    "Return a UID, or None with the problem that it is."
    uid = clean_text(tags.get(name))
    if 0 < len(uid) <= MAX_UID:
        return uid, None
    return None, 'uid_too_long' if uid else 'no_uid'
