# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Orthanc's JSON as values for the rows of the database.

Whatever may be missing, odd or of another type in a DICOM file becomes a
value that can be stored, or None.  Only a record without an identity is
refused.
"""
import datetime as dt
import re

#: The longest text that is kept; a longer one could not be indexed.
MAX_TEXT = 512
#: The longest identifier; DICOM allows 64, some software writes more.
MAX_UID = 128
MAX_INTEGER = 2 ** 31 - 1
#: DICOM PS3.3 C.7.3.1.1.1: "Other", for a series that does not tell.
UNKNOWN_MODALITY = 'OT'

#: Nobody who was ever examined was born before.
FIRST_YEAR = 1850

# What turns around the text beside it (Unicode Standard Annex 9).
_DIRECTIONS = re.compile('[\u202a-\u202e\u2066-\u2069]')
_DATE = re.compile(r'([0-9]{4})([.-]?)([0-9]{2})\2([0-9]{2})\Z')
_TIME = re.compile(
    r'([0-9]{2})(?::?([0-9]{2})(?::?([0-9]{2})(?:\.[0-9]*)?)?)?\Z')
_INTEGER = re.compile(r'([+-]?[0-9]{1,12})(?:\.0*)?\Z')
_ORTHANC_ID = re.compile(r'[0-9A-Za-z-]{1,64}\Z')
#: The ids of what was ordered, in the items of a RequestAttributesSequence
#: (0040,0275, PS3.3 C.7.3.1 and 10.6).
_REQUESTED = ['ScheduledProcedureStepID', 'RequestedProcedureID',
    'AccessionNumber']
#: How many of them are read of a series: nobody orders more at once.
MAX_REQUESTED = 50
#: What is corrected in the instances of a study, of which Orthanc goes on to
#: list what the first one said.
_IDENTITY = ['AccessionNumber', 'StudyDate', 'StudyTime', 'StudyDescription',
    'StudyID', 'ReferringPhysicianName', 'PatientName', 'PatientBirthDate',
    'PatientSex']


class UnusableRecord(Exception):
    """A record that cannot be stored.

    :ivar reason: a stable code: not_an_object, no_orthanc_id, no_uid or
        uid_too_long
    :ivar orthanc_id: what is known of it, str or None
    """

    def __init__(self, reason, orthanc_id=None):
        super().__init__(f"{reason}: {orthanc_id}")
        self.reason = reason
        self.orthanc_id = orthanc_id


# Values

def clean_text(value):
    """Return a value as text that every database stores, '' for none.

    Padding goes, control characters become blanks, those of the direction of
    texts go: a name with one of them reads as another name.  The values of a
    list are joined with backslashes as in DICOM (PS3.5, 6.4), and the end of
    a very long text is cut.

    :param value: anything that JSON holds
    """
    if (type(value) is str and value.isprintable()
            and len(value) <= MAX_TEXT):
        # What nearly all values are is dealt with first: there are millions.
        return value.strip()
    if isinstance(value, list):
        text = '\\'.join(filter(None, map(_plain, value)))
    else:
        text = _plain(value)
    if len(text) > MAX_TEXT:
        text = text[:MAX_TEXT - 1].rstrip() + '…'
    return text


def _plain(value):
    if value is None or isinstance(value, (bool, dict, list)):
        return ''
    text = str(value).replace('\0', '')
    if not text.isprintable():
        text = text.encode('utf-16', 'surrogatepass').decode(
            'utf-16', 'replace')
        text = _DIRECTIONS.sub('', text)
        text = ''.join(' ' if _is_control(c) else c for c in text)
    return text.strip()


def _is_control(character):
    return character < ' ' or '\x7f' <= character < '\xa0' or (
        character in '\u2028\u2029')


def parse_date(value):
    """Return a date (VR DA, also in the form of ACR-NEMA with points), or
    None when it is none that an exam or a birth can have: before 1850, or
    after next year.

    :param value: such as 20060102, 2006.01.02 or 2006-01-02
    """
    match = _DATE.match(clean_text(value))
    if not match:
        return None
    try:
        date = dt.date(*map(int, match.group(1, 3, 4)))
    except ValueError:
        return None
    return date if FIRST_YEAR <= date.year <= last_year() else None


def last_year():
    "Return the last year that a date can have."
    return dt.date.today().year + 1


def _no_date(value):
    "Return what stands where a date should be, None when it is one."
    return None if parse_date(value) else clean_text(value) or None


def parse_time(value):
    """Return a time without its fraction (VR TM, also with colons), or None
    when it is none.

    :param value: such as 162253.7700, 1622, 16 or 16:22:53
    """
    match = _TIME.match(clean_text(value))
    if not match:
        return None
    hour, minute, second = [int(text or 0) for text in match.groups()]
    if second == 60:
        # DICOM's leap second
        second = 59
    try:
        return dt.time(hour, minute, second)
    except ValueError:
        return None


def parse_integer(value):
    """Return an integer of 32 bits (VR IS), or None when it is none.

    :param value: such as '3', '3.0', ' 3 ' or 3
    """
    if value is None:
        return None
    match = _INTEGER.match(clean_text(value))
    number = int(match.group(1)) if match else None
    if match and -MAX_INTEGER - 1 <= number <= MAX_INTEGER:
        return number


def parse_sex(value):
    "Return M, F or O (PatientSex, VR CS), or None for anything else."
    text = clean_text(value).upper()
    return text if text in {'M', 'F', 'O'} else None


# Records

def study_values(record):
    """Return the values of a study, dict.

    Among them: ``study_date`` (date), ``study_time`` (time) and
    ``patient_birth_date`` (date), each or None;
    ``patient_birth_date_text`` is what stands there and is no date;
    ``patient_name`` is the DICOM name as it came, '' when it is missing;
    the others are str or None.

    :param record: what Orthanc returns for a study, dict
    :raises UnusableRecord: it has no id or no StudyInstanceUID
    """
    orthanc_id, tags = _opened(record)
    uid = _uid(tags, 'StudyInstanceUID', orthanc_id)
    patient = _tags(record, 'PatientMainDicomTags')
    text = _reader(tags)
    return {
        'orthanc_UID': orthanc_id,
        'orthanc_patient_UID': parent(record),
        'study_instance_UID': uid,
        'date': text('StudyDate'),
        'study_date': parse_date(tags.get('StudyDate')),
        'study_time': parse_time(tags.get('StudyTime')),
        'description': text('StudyDescription'),
        'study_id': text('StudyID'),
        'accession_number': text('AccessionNumber'),
        'referring_physician_name': text('ReferringPhysicianName'),
        'requesting_physician_name': text('RequestingPhysician'),
        'performing_physician_name': text('PerformingPhysicianName'),
        'requested_procedure_description': text(
            'RequestedProcedureDescription'),
        'institution': text('InstitutionName'),
        **_patient_of_study({**tags, **patient}),
        }


def _patient_of_study(tags):
    return {
        'patient_name': clean_text(tags.get('PatientName')),
        'patient_id': clean_text(tags.get('PatientID')) or None,
        'patient_birth_date': parse_date(tags.get('PatientBirthDate')),
        'patient_birth_date_text': _no_date(tags.get('PatientBirthDate')),
        'patient_sex': parse_sex(tags.get('PatientSex')),
        }


def _all_texts(value):
    yield clean_text(value)
    if isinstance(value, list):
        yield from map(clean_text, value)
    elif isinstance(value, str) and '\\' in value:
        yield from map(clean_text, value.split('\\'))


def series_values(record):
    """Return the values of a series, dict of str or None.

    A series without Modality gets OT, "Other".

    :param record: what Orthanc returns for a series, dict
    :raises UnusableRecord: it has no id or no SeriesInstanceUID
    """
    orthanc_id, tags = _opened(record)
    text = _reader(tags)
    return {
        'orthanc_UID': orthanc_id,
        'series_UID': _uid(tags, 'SeriesInstanceUID', orthanc_id),
        'series_number': text('SeriesNumber'),
        'series_description': text('SeriesDescription'),
        'modality': (text('Modality') or UNKNOWN_MODALITY).upper(),
        'body_part': text('BodyPartExamined'),
        'protocol_name': text('ProtocolName'),
        'performing_physician_name': text('PerformingPhysicianName'),
        'institution': text('InstitutionName'),
        }


def instance_values(record):
    """Return the values of an instance, dict.

    ``instance_number`` and ``number_of_frames`` are int or None, the others
    str or None.

    :param record: what Orthanc returns for an instance, dict
    :raises UnusableRecord: it has no id or no SOPInstanceUID
    """
    orthanc_id, tags = _opened(record)
    frames = parse_integer(tags.get('NumberOfFrames'))
    return {
        'orthanc_UID': orthanc_id,
        'sop_instance_UID': _uid(tags, 'SOPInstanceUID', orthanc_id),
        'instance_number': parse_integer(tags.get('InstanceNumber')),
        'image_position_patient': (
            clean_text(tags.get('ImagePositionPatient')) or None),
        'number_of_frames': frames if frames and frames > 0 else None,
        }


def sop_class(record):
    """Return the SOP Class UID (0008,0016, VR UI) of an instance, None when
    its metadata do not tell.

    :param record: what Orthanc returns for an instance with its metadata
    """
    uid = clean_text(_tags(record, 'Metadata').get('SopClassUid'))
    return uid if 0 < len(uid) <= MAX_UID else None


def requested_ids(tags):
    """Return the ids of what was ordered, tuple of str without duplicates.

    They are ScheduledProcedureStepID (0040,0009), RequestedProcedureID
    (0040,1001) and AccessionNumber (0008,0050), VR SH, of each item of the
    RequestAttributesSequence (0040,0275).  What is too long for an
    identifier is left out, not cut.

    :param tags: values by DICOM keyword, dict
    """
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


def issuer(tags):
    """Return the IssuerOfPatientID (0010,0021, VR LO), None when it is empty.

    :param tags: values by DICOM keyword, dict
    """
    return clean_text(tags.get('IssuerOfPatientID')) or None


def details(tags):
    """Return what an instance tells beyond the main tags, as columns of its
    study, dict.

    :param tags: values by DICOM keyword, dict
    """
    return {
        'requested_ids': '\\'.join(requested_ids(tags)) or None,
        'issuer': issuer(tags),
        }


def listed_details(study, series):
    """Return those of the details that a server lists, as columns of the
    study, dict: it does where its ExtraMainDicomTags say so.

    :param study: Orthanc's dict
    :param series: Orthanc's dicts of its series
    """
    of_study = {
        **_tags(study, 'MainDicomTags'),
        **_tags(study, 'PatientMainDicomTags')}
    sources = [of_study, *(_tags(item, 'MainDicomTags') for item in series)]
    sequences = [
        tags['RequestAttributesSequence'] for tags in sources
        if 'RequestAttributesSequence' in tags]
    listed = {}
    if sequences:
        listed['requested_ids'] = '\\'.join(requested_ids(
                {'RequestAttributesSequence': sequences})) or None
    if 'IssuerOfPatientID' in of_study:
        listed['issuer'] = issuer(of_study)
    return listed


def identity(record):
    """Return what tells of whom and of what a study is, texts by keyword.

    :param record: what Orthanc returns for a study, dict
    """
    tags = {
        **_tags(record, 'MainDicomTags'),
        **_tags(record, 'PatientMainDicomTags')}
    return instance_identity(tags)


def instance_identity(tags):
    """Return what tells of whom and of what the study of an instance is,
    texts by keyword.

    :param tags: values by DICOM keyword, dict
    """
    return {name: clean_text(tags.get(name)) for name in _IDENTITY}


def corrected(record, correction):
    """Return what Orthanc returns for a study as its instances tell it.

    :param record: what Orthanc returns, dict
    :param correction: None, or a dict: identity has what the server listed
        when an instance said what tags has; while it lists that, the
        instance is right
    """
    if not correction or identity(record) != correction['identity']:
        return record
    return {
        **record,
        'MainDicomTags': {
            **_tags(record, 'MainDicomTags'), **correction['tags']},
        'PatientMainDicomTags': {
            **_tags(record, 'PatientMainDicomTags'), **correction['tags']},
        }


def is_record(value, level):
    """Return whether a value can be what Orthanc tells of a resource.

    :param value: anything that JSON holds
    :param level: Patient, Study, Series or Instance
    """
    return (isinstance(value, dict) and _is_id(value.get('ID'))
        and value.get('Type', level) == level
        and (level not in {'Series', 'Instance'}
            or parent(value) is not None))


def parent(record):
    "Return the Orthanc id of a record's parent, None when it has none."
    for name in ['ParentSeries', 'ParentStudy', 'ParentPatient']:
        if _is_id(record.get(name)):
            return record[name]


def children(record):
    "Return the Orthanc ids of a record's children, list without duplicates."
    for name in ['Studies', 'Series', 'Instances']:
        ids = record.get(name)
        if isinstance(ids, list):
            return list(dict.fromkeys(filter(_is_id, ids)))
    return []


def _opened(record):
    "Return the Orthanc id and the main tags of a record."
    if not isinstance(record, dict):
        raise UnusableRecord('not_an_object')
    orthanc_id = record.get('ID')
    if not _is_id(orthanc_id):
        raise UnusableRecord('no_orthanc_id', clean_text(orthanc_id) or None)
    return orthanc_id, _tags(record, 'MainDicomTags')


def _is_id(value):
    return isinstance(value, str) and bool(_ORTHANC_ID.match(value))


def _tags(record, name):
    tags = record.get(name)
    return tags if isinstance(tags, dict) else {}


def _reader(tags):
    "Return a function that gives the text of a tag, None when it is empty."
    def text(name):
        return clean_text(tags.get(name)) or None
    return text


def _uid(tags, name, orthanc_id):
    uid = clean_text(tags.get(name))
    if not uid:
        raise UnusableRecord('no_uid', orthanc_id)
    if len(uid) > MAX_UID:
        raise UnusableRecord('uid_too_long', orthanc_id)
    return uid


# For the screen

def readable_name(name):
    """Return a person's name for the screen, '' for none.

    'Wang^XiaoDong=王^小東' becomes 'Wang, XiaoDong (王 小東)'.

    :param name: as in DICOM (VR PN, PS3.5 6.2.1.2), str or None
    """
    names = [
        _readable_groups(part) for part in clean_text(name).split('\\')]
    return '; '.join(filter(None, names))


def _readable_groups(name):
    latin, *others = name.split('=')
    latin = _readable_latin(latin)
    others = list(filter(None, map(_readable_ideographic, others)))
    if not latin:
        return others[0] if others else ''
    return f'{latin} ({others[0]})' if others else latin


def _readable_latin(group):
    parts = [' '.join(part.split()) for part in group.split('^')] + [''] * 4
    family, given, middle, prefix, *suffix = parts
    first = _joined(prefix, given, middle)
    return ', '.join(filter(None, [family, first, _joined(*suffix)]))


def _readable_ideographic(group):
    return _joined(*[part.strip() for part in group.split('^')])


def _joined(*parts):
    return ' '.join(filter(None, parts))
