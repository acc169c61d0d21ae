# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Attributes of DICOM files as values for databases, names for the screen."""
import datetime as dt
import re

#: The longest text that is kept; a longer one could not be indexed.
MAX_TEXT = 512
MAX_INTEGER = 2 ** 31 - 1
#: Nobody who was ever examined was born before.
FIRST_YEAR = 1850

# What turns around the text beside it (Unicode Standard Annex 9): a name with
# one of them reads as another name.
_DIRECTIONS = re.compile('[\u202a-\u202e\u2066-\u2069]')
_CONTROLS = re.compile('[\0-\x1f\x7f-\x9f\u2028\u2029]')
_DATE = re.compile(r'([0-9]{4})([.-]?)([0-9]{2})\2([0-9]{2})\Z')
_TIME = re.compile(
    r'([0-9]{2})(?::?([0-9]{2})(?::?([0-9]{2})(?:\.[0-9]*)?)?)?\Z')
_INTEGER = re.compile(r'([+-]?[0-9]{1,12})(?:\.0*)?\Z')


def clean_text(value):
    """Return what JSON holds as text that every database stores, '' for none:
    the values of a list with backslashes between them (PS3.5, 6.4), without
    padding, control characters and the end of a very long text."""
    # What nearly all values are is dealt with first: there are millions.
    if value is None:
        return ''
    if (type(value) is str and value.isprintable()
            and len(value) <= MAX_TEXT):
        return value.strip()
    if isinstance(value, list):
        text = '\\'.join(filter(None, map(_plain, value)))
    else:
        text = _plain(value)
    if len(text) > MAX_TEXT:
        text = text[:MAX_TEXT - 1].rstrip() + '…'
    return text


def described(modality, description):
    """Return a modality and a description as one text, without the modality
    when the description says it itself: "CT Thorax".

    :param modality: text or None, such as CT
    :param description: text or None
    :rtype: str
    """
    words = re.findall(r'[^\W_]+', (description or '').upper())
    # People say MRI for MR.
    if modality and {modality.upper(), f'{modality.upper()}I'} & {*words}:
        return description
    return ' '.join(filter(None, [modality, description]))


def _plain(value):
    if value is None or isinstance(value, (bool, dict, list)):
        return ''
    text = str(value).replace('\0', '')
    if not text.isprintable():
        text = text.encode('utf-16', 'surrogatepass').decode(
            'utf-16', 'replace')
        text = _CONTROLS.sub(' ', _DIRECTIONS.sub('', text))
    return text.strip()


def parse_date(value):
    """Return the date of 20060102, 2006.01.02 (ACR-NEMA) or 2006-01-02, None
    when no exam or birth can have it."""
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


def parse_time(value):
    """Return the time of 162253.7700, 1622, 16 or 16:22:53, without its
    fraction, or None."""
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
    "Return the integer of 32 bits of '3', '3.0', ' 3 ' or 3, or None."
    text = clean_text(value)
    if not text:
        return None
    if len(text) < 10 and text.isascii() and text.isdigit():
        return int(text)
    match = _INTEGER.match(text)
    number = int(match.group(1)) if match else None
    if match and -MAX_INTEGER - 1 <= number <= MAX_INTEGER:
        return number


def parse_sex(value):
    "Return M, F or O (PatientSex, VR CS), or None for anything else."
    text = clean_text(value).upper()
    return text if text in {'M', 'F', 'O'} else None


def readable_name(name):
    """Return a person's name (VR PN, PS3.5 6.2.1.2) for the screen.

    'Wang^XiaoDong=王^小東' becomes 'Wang, XiaoDong (王 小東)'."""
    names = [
        _readable_groups(part) for part in clean_text(name).split('\\')]
    return '; '.join(filter(None, names))


def _readable_groups(name):
    latin, *others = name.split('=')
    latin = _readable_latin(latin)
    others = [
        _joined(*[part.strip() for part in group.split('^')])
        for group in others]
    other = next(filter(None, others), '')
    return f'{latin} ({other})' if latin and other else latin or other


def _readable_latin(group):
    parts = [' '.join(part.split()) for part in group.split('^')] + [''] * 4
    family, given, middle, prefix, *suffix = parts
    first = _joined(prefix, given, middle)
    return ', '.join(filter(None, [family, first, _joined(*suffix)]))


def _joined(*parts):
    return ' '.join(filter(None, parts))
