# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a machine says of the step that it performs (MPPS, PS3.4 annex F):
attributes of the DICOM JSON model, read into plain values.

Nothing that a machine says fails: what is no value of its kind is not there.
"""
import datetime as dt
import math
import re
from typing import NamedTuple

from .attributes import clean, cut

#: How much of a message is read: series, requests, characters of a text.
SERIES, ITEMS, TEXT = 500, 20, 200

_STATES = {
    'IN PROGRESS': 'in_progress',
    'COMPLETED': 'completed',
    'DISCONTINUED': 'discontinued',
    }
# "CTDIvol=12.3 mGy, DLP: 456,7" in comments on the dose.
_DOSE = r'{}[^0-9A-Za-z]{{0,6}}([0-9]{{1,7}}(?:[.,][0-9]{{1,6}})?)'
_CTDI, _DLP = (
    re.compile(_DOSE.format(name), re.IGNORECASE)
    for name in ['CTDI[ _]?vol', 'DLP'])


class Scheduled(NamedTuple):
    """What a step says of a request, as the machine had it from the worklist.

    :ivar study: StudyInstanceUID (0020,000D, VR UI)
    :ivar accession: AccessionNumber (0008,0050, VR SH)
    :ivar steps: ScheduledProcedureStepID and RequestedProcedureID (VR SH)
    """
    study: str
    accession: str
    steps: tuple


class Patient(NamedTuple):
    """Whom a machine examines, as it was told or as somebody typed it.

    :ivar puid: PatientID (0010,0020, VR LO)
    :ivar name: PatientName (0010,0010, VR PN)
    :ivar birth: PatientBirthDate (0010,0030), datetime.date or None
    :ivar sex: PatientSex (0010,0040): M, F or empty
    """
    puid: str
    name: str
    birth: dt.date
    sex: str


class Message(NamedTuple):
    """What a message says, None where it says nothing of it.

    :ivar state: in_progress, completed, discontinued or None
    :ivar values: dict of the values of a step, by name of the field
    :ivar scheduled: tuple of Scheduled
    :ivar patient: Patient
    """
    state: str
    values: dict
    scheduled: tuple
    patient: Patient


def read(attributes, zone):
    """Return what the attributes of a message say.

    :param attributes: what should be a data set in the DICOM JSON model
    :param datetime.tzinfo zone: of times without an offset
    :rtype: Message
    """
    zone = _offset(_text(attributes, '00080201')) or zone
    values = {
        'start': _moment(attributes, '00400244', '00400245', zone),
        'end': _moment(attributes, '00400250', '00400251', zone),
        'protocol': _text(attributes, '00400254'),
        'reason': _reason(attributes),
        'dap': _number(attributes, '0018115E'),
        'exposures': _count(attributes, '00400301'),
        **_doses(attributes),
        }
    if '00400340' in _dict(attributes):
        values['series'] = [
            _series(item) for item in _items(attributes, '00400340', SERIES)]
    return Message(
        _STATES.get(_text(attributes, '00400252').upper()),
        {name: value for name, value in values.items()
            if value not in (None, '')},
        tuple(_scheduled(item)
            for item in _items(attributes, '00400270', ITEMS)),
        Patient(
            _text(attributes, '00100020'), _text(attributes, '00100010'),
            _date(attributes, '00100030'),
            _text(attributes, '00100040').upper()))


def _scheduled(item):
    return Scheduled(
        _text(item, '0020000D'), _text(item, '00080050'),
        tuple(filter(None, [
                    _text(item, tag) for tag in ['00400009', '00401001']])))


def _series(item):
    """Return UID, name and number of images of a series, for JSON."""
    return [
        _text(item, '0020000E'),
        _text(item, '0008103E') or _text(item, '00181030'),
        len(_values(item, '00081140'))]


def _reason(attributes):
    """Return the meaning, else the code, of the reason why it was ended."""
    for item in _items(attributes, '00400281', 1):
        return _text(item, '00080104') or _text(item, '00080100')


def _doses(attributes):
    """Return CTDIvol in mGy, the largest, and DLP in mGy·cm, where they are
    given."""
    comment = _text(attributes, '00400310', 10_000)
    ctdi = [
        _number(item, '00189345')
        for item in _items(attributes, '0040030E', SERIES)]
    ctdi += map(_decimal, _CTDI.findall(comment))
    dlp = list(map(_decimal, _DLP.findall(comment)))
    return {
        'ctdivol': max(filter(None, ctdi), default=None),
        'dlp': max(dlp, default=None),
        }


def _dict(value):
    return value if isinstance(value, dict) else {}


def _values(item, tag):
    """Return the values of an attribute, a list."""
    values = _dict(_dict(item).get(tag)).get('Value')
    return values if isinstance(values, list) else []


def _items(item, tag, most):
    return list(filter(_dict, _values(item, tag)[:most]))


def _text(item, tag, length=TEXT):
    """Return the first value as a text of one line, empty without one."""
    value, *_ = _values(item, tag) or ['']
    if isinstance(value, dict):
        # A name (PN) in its first script.
        value = next((
                value[name] for name in [
                    'Alphabetic', 'Ideographic', 'Phonetic']
                if value.get(name)), '')
    if not isinstance(value, (str, int, float)):
        return ''
    return cut(clean(str(value)[:2 * length]).strip(), length)


def _decimal(text):
    try:
        number = float(text.replace(',', '.'))
    except ValueError:
        return None
    return number if math.isfinite(number) and 0 <= number < 1e9 else None


def _number(item, tag):
    return _decimal(_text(item, tag))


def _count(item, tag):
    number = _number(item, tag)
    return None if number is None else int(number)


def _date(item, tag):
    digits = _text(item, tag).replace('.', '')[:8]
    try:
        return dt.datetime.strptime(digits, '%Y%m%d').date()
    except ValueError:
        return None


def _moment(item, day, time, zone):
    """Return when something was, naive and in UTC, None when it is not
    said."""
    date = _date(item, day)
    digits = _text(item, time).replace(':', '').split('.')[0]
    digits = digits.ljust(6, '0')[:6]
    if not date:
        return None
    try:
        moment = dt.datetime.combine(
            date, dt.datetime.strptime(digits, '%H%M%S').time(), zone)
        return moment.astimezone(dt.timezone.utc).replace(tzinfo=None)
    except (OverflowError, ValueError):
        return None


def _offset(text):
    """Return the time zone of TimezoneOffsetFromUTC (0008,0201, VR SH)."""
    match = re.fullmatch(r'([+-])(\d\d)([0-5]\d)', text)
    if not match or int(match[2]) > 14:
        return None
    offset = dt.timedelta(hours=int(match[2]), minutes=int(match[3]))
    return dt.timezone(-offset if match[1] == '-' else offset)
