# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Normalization and comparison of texts, dates and UIDs."""
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
    """Return a text without padding, empty when it cannot be a key.

    DICOM pads with spaces, some writers with NUL (PS3.5 section 6.2)."""
    text = str(value or '').strip(' \0\t\r\n')
    if not text.isascii():
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
    "Return a text as it is, folded and in upper case."
    text = clean(value)
    return frozenset([text, text.casefold(), text.upper()]) - {''}


def shown(value):
    "Return a value as it is displayed, dates as YYYY-MM-DD."
    if isinstance(value, dt.date):
        value = full_date(value)
    return clean(value)


def shown_name(patient):
    "Return given and family name of a PatientFacts."
    family, given = (*patient.names, (None, None))[0]
    return ' '.join(filter(None, [given, family]))


_UID = re.compile(r'(?<![\d.])\d+(?:\.\d+)+(?!\d|\.\d)', re.ASCII)


def uids_of(study, roots):
    """Return the UIDs by which a request may be found.

    StudyInstanceUID (0020,000D, VR UI) comes first; some modalities write the
    UID of the request to another attribute.

    :param roots: roots of the UIDs of requests
    """
    uids = [clean(study.study_instance_uid)]
    for text in [
            study.patient_id, study.accession_number, study.patient_name,
            *(study.texts or ())]:
        if (text and '.' in text and text != uids[0]
                and any(r in text for r in roots)):
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
    """Return year, month and day of a date or str of VR DA, None for no date.

    Unknown month and day are 0. DICOM has no value for an unknown date; the
    first day of 1900 and years out of range stand for it."""
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
    "Return the date of a date or str of VR DA, None when a part is unknown."
    parts = date_parts(value)
    try:
        return dt.date(*parts) if parts else None
    except ValueError:
        return None


def compare_births(study, patient):
    """Return the verdict on PatientBirthDate (0010,0030).

    :param study: date, or str of VR DA
    :param patient: PatientFacts
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
    """Return the verdict on PatientSex (0010,0040).

    Only M and F contradict each other: O is also written for unknown.

    :param str study: VR CS
    :param sexes: values that fit the patient
    """
    study = clean(study).upper()
    if study not in {'M', 'F'} or {'M', 'F'}.isdisjoint(sexes):
        return MISSING
    return SAME if study in sexes else DIFFERS


def compare_modality(modalities, own):
    """Return the verdict on the modality.

    :param modalities: Modality (0008,0060, VR CS) of the series
    :param str own: code of the requested modality
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
    "Return the facts of several lists, each id once."
    return list({r.id: r for found in lists for r in found}.values())
