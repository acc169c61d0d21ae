# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What GNU Health tells of requests, and the DICOM files that are made of
it."""
import hashlib
import io
import re
import struct
import subprocess
import tempfile
import warnings
from collections import namedtuple
from functools import lru_cache
from pathlib import Path

from command_line import interruptible, misfit

MODULE = 'health_imaging_worklist'
PREFIX = 'gnuhealth-'
DUMP2DCM_SECONDS = 20
#: The bytes before the mark of a DICOM file, PS3.10 section 7.1.
PREAMBLE = 128

# Explicit VR Little Endian, PS3.5 sections 7.1.2 and 7.5: the begin of the
# file after the preamble, of elements and of items.
_EXPLICIT = '1.2.840.10008.1.2.1'
_BEGIN, _ELEMENT, _ITEM, _LENGTH = map(struct.Struct, [
        '<4sHH2sHL', '<HH2sH', '<HHL', '<L'])
_SYNTAX, _CHARSET, _UID, _STEPS = 0x20010, 0x80005, 0x20000d, 0x400100
_FIXED = {_SYNTAX: b'UI', _CHARSET: b'CS', _UID: b'UI', _STEPS: b'SQ'}
# Bounds, or long ones would take minutes.
_NUMBER = re.compile(
    rb'(?: {0,16}(?:[-+]?(?:\d{1,16}(?:\.\d{0,16})?|\.\d{1,16})'
    rb'(?:[eE][-+]?\d{1,16})?)? {0,16}(?:\\|$))*')
# Value representations by how their values are made, and those whose length
# takes four bytes after two that are reserved.
_ENCODED = frozenset([b'LO', b'LT', b'PN', b'SH', b'ST', b'UC', b'UT'])
_PLAIN = frozenset([
        b'AE', b'AS', b'CS', b'DA', b'DT', b'TM', b'UI', b'UR'])
_NUMBERS = frozenset([b'DS', b'IS'])
_WIDTHS = {
    b'AT': 4, b'FD': 8, b'FL': 4, b'OB': 1, b'OD': 8, b'OF': 4, b'OL': 4,
    b'OV': 8, b'OW': 2, b'SL': 4, b'SS': 2, b'SV': 8, b'UL': 4, b'UN': 1,
    b'US': 2, b'UV': 8}
_LONG = frozenset([
        b'OB', b'OD', b'OF', b'OL', b'OV', b'OW', b'SQ', b'SV', b'UC', b'UN',
        b'UR', b'UT', b'UV'])
_ESCAPE = b'\x1b'
# What ends the use of another set, PS3.5 section 6.1.2.5.3.
_DELIMITERS = set(b'\\^=\r\n\t\f')


class EntryFailure(Exception):
    "One entry cannot be published; the others can."


def read_answer(answer):
    "Return the answer of get_worklist_entries; raise Unreachable."
    try:
        return {
            'cursor': answer['cursor'],
            'full': bool(answer['full']),
            'entries': list(answer['entries']),
            'removed': list(answer.get('removed') or []),
            'same': set(answer.get('same') or []),
            'ask': set(answer.get('ask') or []),
            }
    except (TypeError, KeyError, AttributeError):
        raise misfit(MODULE)


def ask(fetch, cursor, known):
    """Ask for the entries that differ from what the caller has.

    :param fetch: function of a cursor and of what is known that returns
        get_worklist_entries
    :param cursor: that of the last answer, None for all
    :param known: function of ids, None for all, that returns the begins of
        the digests of the entries there are, by id
    :return: what `read_answer` returns
    :raises Unreachable: the answer cannot be understood
    """
    def digests(ids=None):
        return {str(id_): digest for id_, digest in known(ids).items()}

    answer = read_answer(fetch(cursor, {} if cursor else digests()))
    if answer['ask']:
        answer = read_answer(fetch(cursor, {
                    **{str(id_): '' for id_ in answer['ask']},
                    **digests(answer['ask'])}))
    return answer


def read_exams(answer):
    "Return the answer of get_worklist_exams; raise Unreachable."
    keys = ['exam', 'aetitle', 'modality', 'template', 'charset']
    try:
        return [
            {key: str(exam.get(key) or '') for key in keys}
            for exam in answer]
    except (TypeError, AttributeError):
        raise misfit(MODULE)


class Entry(namedtuple('Entry', [
                'id', 'number', 'order', 'digest', 'filename',
                'study_instance_uid', 'aetitle', 'modality', 'charset',
                'template_type', 'text', 'dicom', 'error'])):
    """A request line as GNU Health sends it.

    id is an int, dicom bytes (a DICOM file) or None, all others are str.
    """

    @classmethod
    def read(cls, values):
        "Return the Entry of a dictionary; raise EntryFailure."
        id_ = values.get('id') if isinstance(values, dict) else None
        if type(id_) is not int or id_ < 1:
            raise EntryFailure("GNU Health sent an entry without a request.")
        dicom = values.get('dicom')
        dicom = getattr(dicom, 'data', dicom)
        if not isinstance(dicom, bytes):
            dicom = None
        return cls(id=id_, dicom=dicom or None, **{
                name: str(values.get(name) or '') for name in cls._fields
                if name not in {'id', 'dicom'}})

    def check(self):
        """Raise EntryFailure when GNU Health has no entry for a request.

        Only the first line of its reason is given: those after it repeat
        values, and these may be names.
        """
        if self.error:
            first, *more = self.error.split('\n')
            raise EntryFailure(f"{first} The page Worklist of the request in "
                "GNU Health says more." if more else first)

    @property
    def label(self):
        "How a person knows it, str."
        return self.number or f"request {self.id}"

    def name(self, database):
        "Return the name of its entry, str of letters that a URL may hold."
        stem = self.filename or self.number or f'id{self.id}'
        return f'{prefix(database)}{safe(stem, "-")}'


def prefix(database):
    "Return how the names of a database's entries begin."
    return f'{PREFIX}{safe(database)}-'


def safe(text, also=''):
    """Return text with letters, digits, dots and underscores only, or what
    also may stay; a hash keeps different texts different."""
    clean = re.sub(f'[^A-Za-z0-9._{re.escape(also)}]', '_', text)[:80]
    return clean if clean == text else f'{clean}.{hash_of(text)[:8]}'


def hash_of(data):
    "Return the SHA-256 of a str or of bytes, hexadecimal."
    if isinstance(data, str):
        data = data.encode('utf-8', 'surrogatepass')
    return hashlib.sha256(data).hexdigest()


def make_maker(with_dump2dcm):
    "Return what makes the files of a publisher, dump2dcm's by the program."
    def make(entry):
        dumped = with_dump2dcm and entry.template_type == 'dump2dcm'
        return (lambda: _dump2dcm(entry) if dumped else _dicom_file(entry),
            source_hash(entry, with_dump2dcm))
    return make


def source_hash(entry, with_dump2dcm):
    "Return a hash of what the file of an entry is made from, str."
    if with_dump2dcm and entry.template_type == 'dump2dcm':
        return hash_of(f'{entry.charset}\0{entry.text}')
    return hash_of(entry.dicom or b'')


def _dicom_file(entry):
    if not entry.dicom:
        raise EntryFailure("there is no data set in what GNU Health sent.")
    if entry.dicom[PREAMBLE:PREAMBLE + 4] != b'DICM':
        raise EntryFailure("what GNU Health sent for it is no DICOM file.")
    return entry.dicom


def _dump2dcm(entry):
    dump = _encode_dump(entry.text, entry.charset)
    try:
        with tempfile.TemporaryDirectory(prefix='gnuhealth-') as folder:
            return _run_dump2dcm(dump, Path(folder))
    except (OSError, subprocess.SubprocessError) as error:
        raise EntryFailure(f"dump2dcm cannot be run: {error}")


def _run_dump2dcm(dump, folder):
    source, target = folder / 'dump', folder / 'dicom'
    source.write_bytes(dump)
    with interruptible():
        done = subprocess.run(
            ['dump2dcm', '-g', '+l', '131072', source, target],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, timeout=DUMP2DCM_SECONDS)
    # It may fail without an exit status.
    if done.returncode or not target.is_file():
        # What it prints repeats lines, and these may have a name.
        lines = sorted(set(re.findall(rb'line (\d+)', done.stdout)), key=int)
        place = b', '.join(lines).decode() or "unknown"
        raise EntryFailure("dump2dcm cannot read it (line of its text: "
            f"{place}).")
    return target.read_bytes()


def _encode_dump(text, charset):
    from pydicom.charset import convert_encodings, encode_string
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('error')
            encodings = convert_encodings(charset.split('\\'))
            # Escape sequences must not stand outside of the values.
            return b''.join(
                part.encode('ascii') if part.isascii()
                else encode_string(part, encodings)
                for part in re.split(r'([^\x00-\x7f]+)', text))
    except (UserWarning, ValueError, LookupError):
        raise EntryFailure(
            f"its text does not fit into the character set \"{charset}\".")


def verify(data, entry):
    """Read a DICOM file completely, which is in Explicit VR Little Endian, and
    compare it with its entry.

    :raises EntryFailure: it is damaged, or of another request
    """
    try:
        *begin, length = _BEGIN.unpack_from(data, PREAMBLE)
        if begin != [b'DICM', 2, 0, b'UL', 4]:
            raise ValueError
        end = PREAMBLE + _BEGIN.size + length
        meta = _read(data[end - length:end])
        values = _read(data[end:])
        if (_text(meta.get(_SYNTAX)) != _EXPLICIT
                or {tag >> 16 for tag in meta} != {2}
                or any(tag >> 16 < 3 for tag in values)):
            raise ValueError
    except struct.error:
        raise EntryFailure("its file is incomplete.")
    except (ValueError, LookupError, RecursionError) as error:
        raise EntryFailure(
            f"its file cannot be read back: {type(error).__name__}.")
    uid = _text(values.get(_UID))
    if not uid or uid != entry.study_instance_uid:
        raise EntryFailure(
            f"its file has the StudyInstanceUID \"{uid}\", the request has "
            f"\"{entry.study_instance_uid}\".")
    if not values.get(_STEPS):
        raise EntryFailure("its file has no scheduled procedure step, no "
            "modality would find it.")


def _read(data, charset=b''):
    """Return the values of a data set by tag, bytes and lists of such dicts.

    :param charset: SpecificCharacterSet unless it names one
    :raises struct.error: something is shorter than its length says
    :raises ValueError: it is no data set
    :raises EntryFailure: a text is not in its character set
    """
    values, last, begin, end = {}, -1, 0, len(data)
    while begin < end:
        group, number, vr, length = _ELEMENT.unpack_from(data, begin)
        begin += _ELEMENT.size
        if vr in _LONG:
            length, = _LENGTH.unpack_from(data, begin)
            begin += _LENGTH.size
        tag, value = group << 16 | number, _part(data, begin, length)
        begin += length
        if tag <= last or length % 2 or _FIXED.get(tag, vr) != vr:
            raise ValueError
        values[tag], last = value, tag
        if vr == b'SQ':
            values[tag] = [_read(item, charset) for item in _items(value)]
        elif vr in _ENCODED:
            if not value.isascii() or _ESCAPE in value:
                _check_text(value, charset)
        elif vr in _PLAIN:
            if not value.isascii():
                _check_text(value, b'')
        elif vr in _NUMBERS:
            if not _NUMBER.fullmatch(value.rstrip(b'\0')):
                raise ValueError
        elif length % _WIDTHS[vr]:
            raise ValueError
        if tag == _CHARSET:
            charset = value
    return values


def _items(data):
    "Yield the items of a sequence; raises what _read does."
    begin = 0
    while begin < len(data):
        *head, length = _ITEM.unpack_from(data, begin)
        begin += _ITEM.size
        if head != [0xfffe, 0xe000]:
            raise ValueError
        yield _part(data, begin, length)
        begin += length


def _part(data, begin, length):
    if length > len(data) - begin:
        raise struct.error
    return data[begin:begin + length]


def _text(value):
    return (value or b'').rstrip(b' \0').decode('ascii')


def _check_text(value, charset):
    "Raise EntryFailure unless a text is in a SpecificCharacterSet."
    codecs = _codecs(charset)
    if _ESCAPE in value:
        from pydicom.charset import decode_bytes
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')
            text = decode_bytes(value, codecs, _DELIMITERS)
    else:
        text = value.decode(codecs[0], 'replace')
    if '\ufffd' in text:
        raise EntryFailure("its text is not in the character set that its "
            "file names.")


@lru_cache(maxsize=64)
def _codecs(charset):
    "Return the codecs of a SpecificCharacterSet, ASCII where it is empty."
    from pydicom.charset import convert_encodings
    terms = _text(charset).split('\\')
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        return convert_encodings(terms) if any(terms) else ['ascii']


def read(data, entry):
    """Return the pydicom data set of a DICOM file that `verify` accepts.

    :raises EntryFailure: it does not, or pydicom cannot read it
    """
    from pydicom import dcmread
    verify(data, entry)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')
            dataset = dcmread(io.BytesIO(data))
            list(dataset.iterall())
    except Exception as error:
        raise EntryFailure(
            f"its file cannot be read back: {type(error).__name__}.")
    return dataset


def texts_of(dataset):
    "Yield the values of a data set and its items as text."
    for element in dataset.iterall():
        if element.VR not in {'SQ', 'OB', 'OW', 'UN'}:
            yield str(element.value)
