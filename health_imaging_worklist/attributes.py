# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Values for DICOM attributes: names, ages, dates, texts, UIDs and the
character sets they are written in.

Every function returns text that obeys its value representation (VR) as
DICOM PS3.5 section 6.2 defines it, or '' when nothing is known.
"""
import datetime as dt
import re
import unicodedata
import uuid
from collections import namedtuple
from decimal import Decimal, InvalidOperation
from functools import lru_cache, partial

from pydicom.valuerep import CUSTOMIZABLE_CHARSET_VR, MAX_VALUE_LEN

from .nearest import foreign_scripts, nearest

# The most characters of one value (PS3.5 table 6.2-1), of one component
# group for PN. AE, CS, DA, TM, UI, .. only know single bytes.
LENGTHS = {**MAX_VALUE_LEN, 'AS': 4, 'DA': 8, 'DT': 26, 'PN': 64, 'TM': 14}
# SpecificCharacterSet of what has no term.
BASIC_CHARSET = 'ISO 2022 IR 6'
# In these a backslash and line breaks belong to the text.
TEXT_VRS = frozenset(['LT', 'ST', 'UT'])
# What is written in the SpecificCharacterSet.
ENCODED_VRS = CUSTOMIZABLE_CHARSET_VR

ALPHABETIC, IDEOGRAPHIC, PHONETIC = range(3)

UID_ROOT = '2.25'
_UID = re.compile(
    r'(?:[01]\.[1-3]?\d|2\.(?:0|[1-9]\d*))(?:\.(?:0|[1-9]\d*))*', re.ASCII)
LEGACY_UID_ROOT = '1.2.836.0.1.3240043.7.198.'

_CONTROLS = re.compile('[\x00-\x1f\x7f-\x9f\u2028\u2029]')
_LINE_ENDS = re.compile('\r\n|[\r\n\x85\u2028\u2029]')
# Marks that nobody sees, but that few character sets can hold. The joiners
# U+200C and U+200D stay: Persian and Indic words need them.
_INVISIBLE = re.compile(
    '[\xad\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb'
    '\ufdd0-\ufdef\ufffe\uffff]')
_SURROGATES = re.compile('[\ud800-\udfff]')
_HAN = re.compile(
    '[\u2e80-\u2fdf\u3005\u3007\u3021-\u3029\u3038-\u303b\u3400-\u4dbf'
    '\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]')
# Half-width katakana is not here: it is what the single-byte group of a
# Japanese name is made of (PS3.5 annex H.3).
_SYLLABLES = re.compile(
    '[\u1100-\u11ff\u3041-\u318f\u31a0-\u31bf\u31f0-\u31ff\ua960-\ua97f'
    '\uac00-\ud7ff\U0001b000-\U0001b16f]')
_IDENTIFYING = re.compile(
    '^IssuerOf|^CodingScheme|(IDs?|Numbers?|NumberImagingServiceRequest'
    '|CodeValue|Identifier|Locator)$')


class EncodingError(ValueError):
    """A text holds characters that a character set does not have.

    :param str characters: those
    :param str charset: the defined term
    """

    def __init__(self, characters, charset):
        self.characters = characters
        self.charset = charset
        super().__init__(f'"{characters}" is not in "{charset}"')


class MultiValue(str):
    """A text in which each backslash separates two values."""
    __slots__ = ()


#: The components of a person's name in DICOM's order.
Name = namedtuple(
    'Name', 'family given middle prefix suffix', defaults=[''] * 4)


# Texts

def clean(text, lines=False):
    """Return ``text`` without control characters and invisible marks.

    Letters and combining accents are joined where there is one character for
    them.  With ``lines`` every line end becomes a line feed, else a space.
    """
    if text.isascii() and text.isprintable():
        return text.strip()
    text = _SURROGATES.sub('\ufffd', _INVISIBLE.sub('', text))
    breaks = _LINE_ENDS.split(_compose(text))
    return ('\n' if lines else ' ').join(
        _CONTROLS.sub(' ', line) for line in breaks).strip()


def _compose(text):
    # Not NFC of the whole text: it replaces compatibility ideographs, which
    # tell one family from another.
    if unicodedata.is_normalized('NFC', text):
        return text
    clusters = []
    for character in text:
        if clusters and _continues(character):
            clusters[-1] += character
        else:
            clusters.append(character)
    return ''.join(
        unicodedata.normalize('NFC', c) if len(c) > 1 else c
        for c in clusters)


def _continues(character):
    return (unicodedata.category(character) in {'Mn', 'Mc', 'Me'}
        or '\u1160' <= character <= '\u11ff'
        or character == '\u200d')


def cut(text, length):
    """Return at most ``length`` characters of ``text``, never the half of a
    letter with its combining marks, without blanks at the end."""
    if len(text) <= length:
        return text
    end = length
    while end and (_continues(text[end]) or text[end - 1] == '\u200d'):
        end -= 1
    return text[:end or length].rstrip()


def is_identifier(value, vr='SH'):
    """Tell if the text ``value`` can be an identifier of the ``vr`` SH or LO
    as it is: not too long, no backslash, nothing that nobody sees."""
    return (
        0 < len(value) <= LENGTHS[vr] and '\\' not in value
        and clean(value) == value)


@lru_cache(maxsize=1024)
def identifies(keyword):
    """Tell if the DICOM attribute ``keyword`` says which person or thing is
    meant, so that its value is whole or wrong."""
    return bool(_IDENTIFYING.search(keyword))


def long_string(value):
    """Return ``value`` as LO: at most 64 characters on one line, a backslash
    written as a slash.  Not for what identifies, see `is_identifier`."""
    text = clean('' if value is None else str(value)).replace('\\', '/')
    return cut(text, LENGTHS['LO'])


def exam_name(name, title):
    """Return the name of an exam as LO, cut before its side.

    :param str name: of the exam
    :param str title: the same with the side, or the same
    """
    side = title[len(name):] if title.startswith(name) else ''
    return long_string(cut(name, LENGTHS['LO'] - len(side)) + side)


def long_text(*texts):
    """Return texts, or None, as one LT: at most 10240 characters on one line,
    for which dumps and JSON have a place, a backslash written as a slash."""
    text = clean(' - '.join(' '.join(t.split()) for t in texts if t))
    return cut(text.replace('\\', '/'), LENGTHS['LT'])


def short_string(value):
    """Return ``value`` as SH, as `long_string` does: at most 16 characters."""
    return cut(long_string(value), LENGTHS['SH'])


def application_entity(value):
    """Return ``value`` as AE: at most 16 ASCII characters, no backslash.  A
    title that comes back changed is not valid, and may name another modality.
    """
    title = clean(value or '').replace('\\', '')
    return cut(''.join(filter(str.isascii, title)).strip(), LENGTHS['AE'])


def code_string(value):
    """Return ``value`` as CS: upper-case letters, digits, spaces and
    underscores.  It is not cut: it would be another code."""
    return re.sub('[^A-Z0-9 _]', '_', clean(value or '').upper())


def multi_value(values):
    """Return the LO `MultiValue` of texts, empty ones left out."""
    return MultiValue('\\'.join(filter(None, map(long_string, values))))


# Names

def person_name(official, others=(), charset=None):
    """Return the PN value of a person (PS3.5 section 6.2.1).

    Up to three groups of at most 64 characters: alphabetic (also Cyrillic,
    Greek, Arabic, ..), ideographic (Han) and phonetic (kana, Hangul).  Each
    holds the ``official`` `Name` when it is of that script, else the first of
    ``others`` that is.  Without an alphabetic name another stands in the
    first group as well, because many modalities show no other.

    With a ``charset`` every name is in the nearest form that this can hold.
    Of ``others``, what could only be romanized is left out. The official
    name is romanized unless one of the others is alphabetic.
    """
    names = [n for n in others if not _needs_romanizing(n, charset)]
    names.insert(
        len(names) if _needs_romanizing(official, charset) else 0, official)
    groups = {}
    for name in names:
        group = _group(name, charset)
        if group:
            groups.setdefault(script(group), group)
    first = next((groups[s] for s in sorted(groups)), '')
    if len(groups) < 2:
        return first
    return '='.join([
            first, groups.get(IDEOGRAPHIC, ''), groups.get(PHONETIC, ''),
            ]).rstrip('=')


def is_romanized(official, others, charset):
    """Tell if `person_name` romanizes the ``official`` name."""
    if not _needs_romanizing(official, charset):
        return False
    return not any(
        script(_group(name, charset)) == ALPHABETIC for name in others
        if not _needs_romanizing(name, charset))


def _needs_romanizing(name, charset):
    return needs_romanizing(_group(name), charset)


def _group(name, charset=None):
    group = to_charset('^'.join(map(_component, name)).rstrip('^'), charset)
    return cut(group, LENGTHS['PN']).rstrip('^ ')


def _component(text):
    words = re.sub(r'[\\^=]', ' ', clean(text or '')).split(' ')
    return ' '.join(filter(None, words))


def script(text):
    """Return the component group of PN that ``text`` belongs to."""
    if _HAN.search(text):
        return IDEOGRAPHIC
    return PHONETIC if _SYLLABLES.search(text) else ALPHABETIC


# People

def patient_age(birth, at):
    """Return the age (AS) on the date ``at`` of someone born on ``birth``.

    Days until four weeks, weeks until three months, months until two years,
    then years: "003D", "006W", "018M", "045Y"; '' when a date is missing,
    ``birth`` is later, or after 999 years.
    """
    if not birth or not at:
        return ''
    days = (at - birth).days
    months = (
        (at.year - birth.year) * 12 + at.month - birth.month
        - (at.day < birth.day))
    if days < 0 or months >= 12000:
        return ''
    if days < 28:
        return f'{days:03}D'
    if months < 3:
        return f'{days // 7:03}W'
    return f'{months:03}M' if months < 24 else f'{months // 12:03}Y'


def patient_sex(gender, biological_sex=None):
    """Return PatientSex (CS): M, F, O for who is neither, '' for who did not
    tell.

    :param str gender: one of GNU Health's; of m-f and f-m the first letter is
        the biological sex
    :param str biological_sex: m or f, which counts first
    """
    sex = biological_sex or (gender or '').split('-')[0]
    return {'m': 'M', 'f': 'F', 'nb': 'O', 'other': 'O'}.get(sex, '')


def patient_weight(kilograms):
    """Return PatientWeight (DS, kg): "70.5", or '' when the weight (any
    number) is missing or not positive."""
    try:
        weight = Decimal(str(kilograms)).quantize(Decimal('0.001'))
    except InvalidOperation:
        return ''
    if weight.is_nan() or not 0 < weight < 10000:
        return ''
    return f'{weight:f}'.rstrip('0').rstrip('.')


# Dates and times

def local_datetime(value, timezone=dt.timezone.utc):
    """Return the datetime ``value``, naive UTC as Tryton stores it, in a
    timezone (tzinfo), or in UTC where that is beyond the calendar."""
    value = value.replace(tzinfo=dt.timezone.utc)
    try:
        return value.astimezone(timezone)
    except OverflowError:
        return value


def dicom_date(value, timezone=dt.timezone.utc):
    """Return a date, or a naive datetime (UTC) in a timezone (tzinfo), as DA:
    "YYYYMMDD"; '' for None."""
    if isinstance(value, dt.datetime):
        value = local_datetime(value, timezone)
    return value.isoformat()[:10].replace('-', '') if value else ''


def dicom_time(value, timezone=dt.timezone.utc):
    """Return a naive datetime (UTC) in a timezone (tzinfo) as TM: "HHMMSS";
    '' for None."""
    return f'{local_datetime(value, timezone):%H%M%S}' if value else ''


def timezone_offset(value, timezone=dt.timezone.utc):
    """Return TimezoneOffsetFromUTC (SH, PS3.3 section C.12.1) that a timezone
    (tzinfo) has at a naive datetime (UTC): "+0530"; '' for None."""
    if not value:
        return ''
    offset = local_datetime(value, timezone).utcoffset()
    hours, minutes = divmod(round(abs(offset).total_seconds() / 60), 60)
    sign = '-' if offset < dt.timedelta(0) else '+'
    return f'{sign}{hours:02}{minutes:02}'


# Unique identifiers

def generate_uid(root=UID_ROOT, value=None):
    """Return a new UI: ``root``, a dot and digits made from a UUID, which they
    are with the root 2.25 (PS3.5 annex B.2).

    :param value: an UUID or a text, which gives the same UID each time
    :raises ValueError: the root is no UID, or leaves no 24 digits
    """
    root = root.rstrip('.')
    room = LENGTHS['UI'] - len(root) - 1
    if not is_uid(root) or room < 24:
        raise ValueError(f'"{root}" cannot be the root of DICOM UIDs.')
    if value is None:
        value = uuid.uuid4()
    elif not isinstance(value, uuid.UUID):
        value = uuid.uuid5(uuid.NAMESPACE_OID, str(value))
    return f'{root}.{str(value.int)[:room]}'


def is_uid(value):
    """Tell if ``value`` is a valid UI (PS3.5 section 9.1)."""
    return (isinstance(value, str) and len(value) <= LENGTHS['UI']
        and bool(_UID.fullmatch(value)))


# Character sets

Charset = namedtuple('Charset', 'codec escape width')

# Python codec, escape sequence that selects it and bytes of one character
# in it (PS3.3 tables C.12-3 and C.12-4).
_EXTENSIONS = {
    'ISO 2022 IR 6': Charset('ascii', b'\x1b(B', 1),
    'ISO 2022 IR 13': Charset('shift_jis', b'\x1b)I', 1),
    'ISO 2022 IR 58': Charset('gb2312', b'\x1b$)A', 2),
    'ISO 2022 IR 87': Charset('iso2022_jp', b'\x1b$B', 2),
    'ISO 2022 IR 100': Charset('iso8859_1', b'\x1b-A', 1),
    'ISO 2022 IR 101': Charset('iso8859_2', b'\x1b-B', 1),
    'ISO 2022 IR 109': Charset('iso8859_3', b'\x1b-C', 1),
    'ISO 2022 IR 110': Charset('iso8859_4', b'\x1b-D', 1),
    'ISO 2022 IR 126': Charset('iso8859_7', b'\x1b-F', 1),
    'ISO 2022 IR 127': Charset('iso8859_6', b'\x1b-G', 1),
    'ISO 2022 IR 138': Charset('iso8859_8', b'\x1b-H', 1),
    'ISO 2022 IR 144': Charset('iso8859_5', b'\x1b-L', 1),
    'ISO 2022 IR 148': Charset('iso8859_9', b'\x1b-M', 1),
    'ISO 2022 IR 149': Charset('euc_kr', b'\x1b$)C', 2),
    'ISO 2022 IR 159': Charset('iso2022_jp_2', b'\x1b$(D', 2),
    'ISO 2022 IR 166': Charset('tis_620', b'\x1b-T', 1),
    }
_STAND_ALONE = {'ISO_IR 192': 'utf_8', 'GB18030': 'gb18030', 'GBK': 'gbk'}
# These two replace ASCII while they are selected.
_IN_PLACE_OF_ASCII = frozenset(['ISO 2022 IR 87', 'ISO 2022 IR 159'])

#: The terms of SpecificCharacterSet (0008,0005) to choose from, with what
#: they are for.
CHARSETS = {
    'ISO_IR 192': "Unicode (UTF-8)",
    'ISO_IR 100': "Western European (Latin 1)",
    'ISO_IR 101': "Central European (Latin 2)",
    'ISO_IR 109': "South European (Latin 3)",
    'ISO_IR 110': "North European (Latin 4)",
    'ISO_IR 126': "Greek",
    'ISO_IR 127': "Arabic",
    'ISO_IR 138': "Hebrew",
    'ISO_IR 144': "Cyrillic",
    'ISO_IR 148': "Turkish (Latin 5)",
    'ISO_IR 166': "Thai",
    'ISO_IR 13': "Japanese (half-width katakana)",
    '\\ISO 2022 IR 87': "Japanese (kanji)",
    '\\ISO 2022 IR 87\\ISO 2022 IR 159':
        "Japanese (kanji, supplementary kanji)",
    'ISO 2022 IR 13\\ISO 2022 IR 87':
        "Japanese (half-width katakana, kanji)",
    '\\ISO 2022 IR 149': "Korean",
    '\\ISO 2022 IR 58': "Simplified Chinese (GB 2312)",
    'GB18030': "Chinese (GB 18030)",
    'GBK': "Chinese (GBK)",
    'ISO 2022 IR 6': "Basic letters (ASCII)",
    }

_ALIASES = {
    'ISOIR6': 'ISO 2022 IR 6',
    'ASCII': 'ISO 2022 IR 6',
    'UTF8': 'ISO_IR 192',
    'LATIN1': 'ISO_IR 100',
    **{charset.codec.upper().replace('_', ''):
        term.replace('ISO 2022 IR', 'ISO_IR')
        for term, charset in _EXTENSIONS.items()
        if charset.codec.startswith(('iso8859', 'tis'))},
    'GB2312': 'GB18030',
    'ISO2022GBK': 'GBK',
    'EUCKR': '\\ISO 2022 IR 149',
    'ISO2022JP': '\\ISO 2022 IR 87',
    }


def find_charsets(typed):
    """Return the terms of `CHARSETS` that begin like what somebody ``typed``,
    or are for the language that is; all for nothing and for a whole term."""
    typed = '' if typed in CHARSETS else (typed or '').casefold()
    return [
        term for term, label in CHARSETS.items()
        if typed in f'{term} {label}'.casefold()]


def is_charset(term):
    """Tell if ``term`` is a valid SpecificCharacterSet: one defined term, or
    terms for code extensions, of which the first may be empty (PS3.3 section
    C.12.1.1.2)."""
    first, *others = (term or '').split('\\')
    if not others:
        return _single_codec(first) is not None
    return (
        first in _EXTENSIONS and _EXTENSIONS[first].width == 1
        or not first) and all(term in _EXTENSIONS for term in others)


def _single_codec(term):
    if term in _STAND_ALONE:
        return _STAND_ALONE[term]
    if term == 'ISO_IR 6':
        return None
    extension = _EXTENSIONS.get(term.replace('ISO_IR', 'ISO 2022 IR'))
    return extension.codec if extension and extension.width == 1 else None


def repair_charset(term):
    """Return the valid SpecificCharacterSet that ``term`` was meant to be, or
    None when there is no telling.

    Knows the digit zero in "IS0_IR 192", other spellings of the prefix,
    lower case, and the Python and MIME names that older templates have.
    """
    if is_charset(term):
        return term
    parts = (term or '').strip().split('\\')
    repaired = [_repair_term(part, len(parts) > 1) for part in parts]
    if None in repaired:
        return None
    # A multi-byte set alone was meant to be added to ASCII.
    candidates = ('\\'.join(repaired), '\\' + repaired[0])
    return next(filter(is_charset, candidates), None)


def _repair_term(term, extended):
    key = re.sub(r'[\s_.:-]', '', term.upper()).replace('IS0', 'ISO')
    if key in _ALIASES and not extended:
        return _ALIASES[key]
    if key in {'GBK', 'GB18030', ''}:
        return key
    number = re.fullmatch(r'ISO(2022)?IR(\d+)', key)
    if not number:
        return None
    prefix = 'ISO 2022 IR' if number[1] or extended else 'ISO_IR'
    return f'{prefix} {number[2]}'


@lru_cache(maxsize=2 ** 13)
def to_charset(text, charset):
    """Return the nearest form of ``text`` that a SpecificCharacterSet can
    hold, ASCII when it is empty; ``text`` when it is no valid term.  See
    `nearest.nearest`."""
    charset = BASIC_CHARSET if charset == '' else charset
    if text.isascii() or not is_charset(charset):
        return text
    for form in (text, _compose(text)):
        if is_encodable(form, charset):
            return form
    return nearest(form, partial(_holds, charset))


def needs_romanizing(text, charset):
    """Tell if ``text`` has letters of another script than ``charset`` has,
    which is as for `to_charset`."""
    charset = BASIC_CHARSET if charset == '' else charset
    if text.isascii() or not is_charset(charset):
        return False
    return bool(foreign_scripts(text, partial(_holds, charset)))


@lru_cache(maxsize=2 ** 16)
def _holds(charset, character):
    return is_encodable(character, charset)


def encode(text, charset, vr='LO'):
    """Return the bytes of the value ``text`` in a SpecificCharacterSet.

    Escape sequences are set and ended as PS3.5 section 6.1.2.5.3 asks: in
    PN also at ``^`` and ``=``.

    :raises EncodingError: a character is not in the set
    :raises ValueError: ``charset`` is not valid
    """
    if text.isascii():
        return text.encode('ascii')
    if not is_charset(charset):
        raise ValueError(f'"{charset}" is not a DICOM character set.')
    try:
        return _encode(text, charset, vr)
    except UnicodeEncodeError:
        missing = ''.join(
            c for c in dict.fromkeys(text) if not is_encodable(c, charset))
        raise EncodingError(missing or text, charset) from None


def is_encodable(text, charset, vr='LO'):
    """Tell if `encode` can write ``text`` in the valid ``charset``."""
    try:
        _encode(text, charset, vr)
    except UnicodeEncodeError:
        return False
    return True


def _encode(text, charset, vr):
    if '\\' in charset:
        first, *others = charset.split('\\')
        return _encode_extended(text, [first or 'ISO 2022 IR 6', *others], vr)
    codec = _single_codec(charset)
    if codec == 'shift_jis':
        # The codec also knows two-byte characters, which are not in the
        # set, and puts a yen sign where the backslash is.
        return _encode_extended(text, ['ISO 2022 IR 13'], vr)
    return text.encode(codec)


def _encode_extended(text, terms, vr):
    first = terms[0]
    stops = '\\\r\n\t\f' + ('^=' if vr == 'PN' else '')
    data, active = bytearray(), first
    for character in text:
        term, code = (
            (None, character.encode()) if character.isascii()
            else _find_term(character, active, terms))
        if active in _IN_PLACE_OF_ASCII and term != active:
            data += _ascii_escape(first)
            active = None
        if term and term != active:
            data += _EXTENSIONS[term].escape
            active = term
        data += code
        if character in stops:
            active = first
    if active in _IN_PLACE_OF_ASCII:
        data += _ascii_escape(first)
    return bytes(data)


def _ascii_escape(first):
    return b'\x1b(J' if first == 'ISO 2022 IR 13' else b'\x1b(B'


def _find_term(character, active, terms):
    for term in ([active] if active else []) + terms:
        code = _encode_in(character, term)
        if code:
            return term, code
    raise UnicodeEncodeError('', character, 0, 1, '')


def _encode_in(character, term):
    codec, escape, width = _EXTENSIONS[term]
    try:
        code = character.encode(codec)
    except UnicodeEncodeError:
        return None
    if term in _IN_PLACE_OF_ASCII:
        return code[len(escape):-3] if code.startswith(escape) else None
    return code if len(code) == width and min(code) >= 0xa0 else None
