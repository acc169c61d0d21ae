# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The values that matching compares: texts without padding, dates, UIDs,
and how two of them compare.
"""
import datetime as dt
import re

from .names import CLOSE, DIFFERS, MISSING, SAME, UNSURE

# The arc of UUIDs, and the root of the orders made by GNU Health 5.0.
UID_ROOTS = ('2.25.', '1.2.836.0.1.3240043.7.198.')
# Shorter ones could be the beginning of a longer one.
UID_MIN_LENGTH = 20
# Of a UID, and of a text of VR LO: what ends there may have been cut.
MAX_LENGTH = 64
# Digits of a number in which leading zeros may be lost or added.
NUMBER_LENGTHS = range(4, 13)
# Years that an estimated date of birth may be wrong.
ESTIMATE_YEARS = 5
# Modalities (0008,0060) that are made from images of another one.
DERIVED = {
    'AU', 'DOC', 'FID', 'KO', 'OT', 'PLAN', 'PR', 'REG', 'RTDOSE', 'RTPLAN',
    'RTRECORD', 'RTSTRUCT', 'SC', 'SEG', 'SR'}
# Modalities that one and the same kind of apparatus may write.
ALIKE = [
    {'CR', 'DX', 'DR', 'RG', 'XR'},
    {'XA', 'RF', 'XR'},
    {'US', 'IVUS'},
    {'PX', 'IO', 'DX'},
    {'MR', 'MRI'},
    {'PT', 'PET'}]


def clean(value):
    """Return a text without its padding, empty when it cannot be a key.

    DICOM pads with spaces, some writers with NUL (PS3.5 section 6.2).
    """
    if not value:
        return ''
    text = str(value).strip(' \0\t\r\n')
    if text.isascii():
        return '' if '\0' in text else text
    try:
        text.encode()
    except UnicodeEncodeError:
        return ''
    return '' if '\0' in text else text


def id_key(number):
    "Return an identifier without case and leading zeros."
    if number.isascii() and number.isdigit():
        return number.lstrip('0')
    return number.casefold()


def variants(value):
    "Return a text as it is, folded and in upper case, as a frozenset."
    text = clean(value)
    if not text:
        return frozenset()
    return frozenset([text, text.casefold(), text.upper()])


def shown(value):
    "Return a text or date as a person reads it, dates as YYYY-MM-DD."
    if isinstance(value, dt.date):
        return full_date(value).isoformat() if full_date(value) else ''
    return clean(value)


def shown_name(patient):
    "Return given and family name of a PatientFacts."
    names = [' '.join(filter(None, [g, f])) for f, g in patient.names[:1]]
    return ' '.join(names)


_UID = re.compile(r'(?<![\d.])\d+(?:\.\d+)+(?!\d|\.\d)', re.ASCII)


def uids_of(study, roots):
    """Return the UIDs by which a request may be found, StudyInstanceUID first.

    Some modalities cannot keep the UID and put it into another field.
    """
    uids = [clean(study.study_instance_uid)]
    for text in [
            study.patient_id, study.accession_number, study.patient_name,
            *(study.texts or ())]:
        if text and '.' in text and any(r in text for r in roots):
            uids += _uids_in(clean(text), roots)
    return list(dict.fromkeys(filter(None, uids)))


def _uids_in(text, roots):
    for found in _UID.finditer(text):
        uid = found.group()
        cut = found.end() == len(text) == MAX_LENGTH > len(uid)
        if (uid.startswith(tuple(roots)) and not cut
                and UID_MIN_LENGTH <= len(uid) <= MAX_LENGTH):
            yield uid


_DA = re.compile(r'(\d{4})(?:[-./]?(\d{2})(?:[-./]?(\d{2}))?)?', re.ASCII)


def date_parts(value):
    """Return year, month and day, or None where there is no date.

    Month and day are 0 where not known.  DICOM has no value for an unknown
    date: the first day of 1900 and years out of reach stand for it.
    """
    if isinstance(value, dt.date):
        year, month, day = value.year, value.month, value.day
    else:
        found = _DA.fullmatch(clean(value))
        if not found:
            return None
        year, month, day = map(int, found.groups('0'))
    if (not 1880 <= year < 2200 or month > 12 or day > 31
            or year == 1900 and (month, day) in {(1, 1), (0, 0)}):
        return None
    return year, month, day


def full_date(value):
    "Return the date, or None where not all of it is known."
    parts = date_parts(value)
    try:
        return dt.date(*parts) if parts else None
    except ValueError:
        return None


def compare_births(study, patient):
    """Compare PatientBirthDate (0010,0030) of a study with a PatientFacts.

    :param study: date, or text of VR DA
    :return: a verdict of ``names``
    """
    theirs, own = date_parts(study), date_parts(patient.birth_date)
    if not theirs or not own:
        return MISSING
    if theirs == own:
        return SAME if all(own) else CLOSE
    if all(a == b for a, b in zip(theirs, own) if a and b):
        return CLOSE
    if (patient.birth_date_estimated
            and abs(theirs[0] - own[0]) <= ESTIMATE_YEARS):
        return UNSURE
    return DIFFERS


def compare_sex(study, sexes):
    """Compare PatientSex (0010,0040) with the values that fit a patient.

    Only M and F contradict each other: O is also written for unknown.

    :param study: text of VR CS
    :param sexes: set of texts
    :return: a verdict of ``names``
    """
    study = clean(study).upper()
    if study not in {'M', 'F'} or {'M', 'F'}.isdisjoint(sexes):
        return MISSING
    return SAME if study in sexes else DIFFERS


def compare_modality(modalities, own):
    """Compare the modalities of the series of a study, Modality (0008,0060),
    with the one that was ordered.

    :param modalities: set of texts
    :param own: code of the modality, text
    :return: a verdict of ``names``
    """
    own = clean(own).upper()
    theirs = {clean(m).upper() for m in modalities or ()} - DERIVED - {''}
    if not own or not theirs:
        return MISSING
    if own in theirs:
        return SAME
    alike = any(own in group and theirs & group for group in ALIKE)
    return CLOSE if alike else DIFFERS


def unique(lists):
    """Return the records of some lists, each once.

    :param lists: iterable of lists of facts, which have an ``id``
    """
    return list({r.id: r for found in lists for r in found}.values())
