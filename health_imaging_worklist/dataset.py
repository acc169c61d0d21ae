# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Worklist entries as DICOM data sets: read from rendered templates, checked
against what a modality needs, written as the bytes of a file."""
import json
import re
import struct
from collections import namedtuple

from pydicom import config, uid
from pydicom.datadict import (
    dictionary_has_tag, dictionary_VM, dictionary_VR, keyword_for_tag,
    tag_for_keyword)
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_data_element
from pydicom.multival import MultiValue
from pydicom.tag import Tag
from pydicom.valuerep import (
    DA, DEFAULT_CHARSET_VR, DS, EXPLICIT_VR_LENGTH_32, FLOAT_VR, INT_VR, IS,
    validate_value)

from .attributes import (
    BASIC_CHARSET, ENCODED_VRS, LENGTHS, TEXT_VRS, EncodingError, cut, encode,
    generate_uid, identifies, is_uid, repair_charset, to_charset)
from .texts import DUMP2DCM, JSON, kept, pieces, put, quote_tokens, readable

#: Modality Worklist Information Model - FIND (PS3.4 annex K.6.1)
SOP_CLASS_UID = uid.UID('1.2.840.10008.5.1.4.31')
IMPLEMENTATION_CLASS_UID = '2.25.321874027866359167036591982603731937105'
IMPLEMENTATION_VERSION_NAME = 'GNUHEALTH_IMG_50'

#: The findings with which an entry can still be used.
WARNINGS = frozenset(['expected', 'keyword'])

# Type 1 of PS3.4 table K.6-1: no modality can work without.
_REQUIRED = ['PatientName', 'PatientID', 'StudyInstanceUID']
_REQUIRED_STEP = [
    'ScheduledProcedureStepStartDate', 'ScheduledProcedureStepStartTime',
    'Modality']
# Type 1 and 1C as well, but templates of GNU Health 5.0 left them out, and
# its exams have no AE title when devices query all of a modality code.
_EXPECTED = ['RequestedProcedureID', 'RequestedProcedureDescription']
_EXPECTED_STEP = ['ScheduledProcedureStepID', 'ScheduledStationAETitle']

_STEPS = tag_for_keyword('ScheduledProcedureStepSequence')
_CHARSET = tag_for_keyword('SpecificCharacterSet')
# Attributes that are put in the item of the step when a flat JSON object
# names them.
_STEP_KEYWORDS = frozenset([
        'CommentsOnTheScheduledProcedureStep', 'Modality', 'PreMedication',
        'RequestedContrastAgent', 'ScheduledPerformingPhysicianName',
        'ScheduledProcedureStepDescription', 'ScheduledProcedureStepEndDate',
        'ScheduledProcedureStepEndTime', 'ScheduledProcedureStepID',
        'ScheduledProcedureStepLocation', 'ScheduledProcedureStepStartDate',
        'ScheduledProcedureStepStartTime', 'ScheduledProcedureStepStatus',
        'ScheduledProtocolCodeSequence', 'ScheduledStationAETitle',
        'ScheduledStationName'])

_MAX_DEPTH = 10
# What is written in ASCII, but for numbers.
_ASCII_VRS = DEFAULT_CHARSET_VR - {'DS', 'IS'}
_BYTE_VRS = frozenset(['OB', 'UN'])
_SINGLE_VRS = TEXT_VRS | {'UR'}

_DECIMAL = re.compile(
    r'[+-]?(?:\d{1,19}\.?\d{0,19}|\.\d{1,19})(?:[eE][+-]?\d{1,3})?', re.ASCII)
_INTEGER = re.compile(r'[+-]?\d{1,19}', re.ASCII)
# The line of an attribute in a dump: group, element, VR, value. As in
# dcmtk, two capitals after the tag are the VR whatever follows.
_ELEMENT = re.compile(
    r'\(\s*([0-9a-fA-F]{1,4})\s*,\s*([0-9a-fA-F]{1,4})\s*\)'
    r'\s*([A-Z]{2}|[A-Za-z?]{2}(?=[\s\[(]|$))?\s*(.*)', re.DOTALL)
_CONTROL = re.compile('[\x00-\x1f\x7f-\x9f]')
_CONTROL_IN_TEXT = re.compile('[\x00-\x09\x0b\x0e-\x1f\x7f-\x9f]')


class Finding(namedtuple('Finding', 'code attribute line values')):
    """Something that is wrong in a data set, ``msg_dataset_<code>`` with the
    dictionary ``values``.

    ``attribute`` is the DICOM keyword or tag, ``line`` the line of the text
    it was read from, both None when not known.
    """
    __slots__ = ()
    #: The beginning of the names of the messages.
    message = 'msg_dataset'

    @property
    def is_error(self):
        """Whether no entry can be made."""
        return self.code not in WARNINGS


class DatasetError(ValueError):
    """A text is no worklist entry, or an entry cannot be written.

    :param findings: list of Finding
    """

    def __init__(self, findings):
        self.findings = list(findings)
        super().__init__('\n'.join(
                f"Line {f.line}: {f.attribute}: {f.code} {f.values}"
                for f in self.findings))


def _finding(code, tag=None, line=None, **values):
    return Finding(code, tag and _name(tag), line, values)


def _error(code, tag=None, line=None, **values):
    return DatasetError([_finding(code, tag, line, **values)])


def _name(tag):
    tag = Tag(tag)
    return keyword_for_tag(tag) or f'({tag.group:04x},{tag.element:04x})'


class Entry(Dataset):
    """A data set that knows the ``lines`` its attributes were read from,
    and what the reader found (``notes``)."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.lines = {}
        self.notes = []


# Elements

#: An attribute as it was read: its value is the text ``pieces`` with tokens
#: or, when it is a sequence, the lists of nodes ``items``.
Node = namedtuple('Node', 'tag vr line pieces items', defaults=[None])


def _find_vr(tag, written, line):
    """Return the VR of a tag, that of the DICOM dictionary if it has one."""
    if not dictionary_has_tag(tag):
        if not written or written in {'??', 'NA'}:
            raise _error('vr', tag, line)
        return written
    known = dictionary_VR(tag).split(' or ')
    if written and written not in {'??', *known}:
        raise _error(
            'vr_other', tag, line, vr=' / '.join(known), written=written)
    return written if written in known else known[0]


def _build(nodes, values, template_type):
    """Return the `Entry` of nodes, with values in place of their tokens."""
    entry = Entry()
    for node in nodes:
        if node.tag in entry:
            raise _error('duplicate', node.tag, node.line)
        if node.items is None:
            element = _make_element(node, values, template_type)
        else:
            element = DataElement(node.tag, node.vr, [
                    _build(item, values, template_type)
                    for item in node.items])
        entry[node.tag] = element
        entry.lines[node.tag] = node.line
    return entry


def _make_element(node, values, template_type):
    tag, vr, line, pieces, _ = node
    text = pieces[0]
    if len(pieces) > 1:
        keyword = keyword_for_tag(tag)
        text = ''.join(
            piece if isinstance(piece, str)
            else put(values[piece], vr, keyword, template_type)
            for piece in pieces)
    try:
        if text.startswith('=') and vr not in ENCODED_VRS:
            # dcmtk would read a file of that name.
            raise ValueError(text)
        value = _parse_value(vr, text)
        return DataElement(tag, vr, value, validation_mode=config.IGNORE)
    except (ValueError, OverflowError, KeyError):
        raise _error('value', tag, line, value=text, vr=vr) from None


def _parse_value(vr, text):
    if not text:
        return None
    if vr in _SINGLE_VRS:
        return text
    parts = text.split('\\')
    if vr in ENCODED_VRS or vr in _ASCII_VRS:
        return '\\'.join(part.rstrip(' ') for part in parts)
    if vr in _BYTE_VRS:
        return bytes(int(part, 16) for part in parts)
    values = [_PARSERS[vr](vr, part.strip()) for part in parts]
    return values if len(values) > 1 else values[0]


def _parse_number(vr, text):
    pattern, convert = (_INTEGER, int) if vr in INT_VR else (_DECIMAL, float)
    if not pattern.fullmatch(text):
        raise ValueError(text)
    validate_value(vr, convert(text), config.RAISE)
    return convert(text)


def _parse_tag(vr, text):
    match = re.fullmatch(r'\(([0-9a-fA-F]{4}),([0-9a-fA-F]{4})\)', text)
    if not match:
        raise ValueError(text)
    return Tag(int(match[1], 16), int(match[2], 16))


_PARSERS = {
    **dict.fromkeys(INT_VR | FLOAT_VR, _parse_number),
    'AT': _parse_tag,
    'DS': lambda vr, text: str(DS(text, validation_mode=config.RAISE)),
    'IS': lambda vr, text: str(IS(text, config.RAISE)),
    }


# Dumps

_ITEM = Tag(0xfffe, 0xe000)
_ITEM_END = Tag(0xfffe, 0xe00d)
_SEQUENCE_END = Tag(0xfffe, 0xe0dd)


@kept
def _read_dump(text):
    """Return the nodes of a dump, as dcmtk's dump2dcm reads it, and nothing
    to note."""
    reader = _DumpReader()
    for number, line in enumerate(text.split('\n'), start=1):
        line = line.strip(' \t\r')
        if line and not line.startswith('#'):
            reader.line = number
            reader.read(line)
    if len(reader.open) > 1:
        raise _error('dump_block', line=reader.line)
    return reader.open[0], ()


class _DumpReader:
    """Reads the lines of one dump; ``open`` are the data sets and, between
    them, the sequences that the next line belongs to."""

    def __init__(self):
        self.open = [[]]
        self.line = 0

    def read(self, line):
        match = _ELEMENT.match(line)
        if not match:
            raise _error('dump_line', line=self.line)
        group, element, vr, value = match.groups()
        tag = Tag(int(group, 16), int(element, 16))
        if tag.group == 0xfffe:
            self._read_delimiter(tag)
        else:
            self._read_element(tag, (vr or '').upper(), value)

    def _read_delimiter(self, tag):
        in_sequence = len(self.open) % 2 == 0
        if tag == _ITEM and in_sequence:
            self.open[-1].append([])
            self.open.append(self.open[-1][-1])
        elif len(self.open) > 1 and tag == (
                _SEQUENCE_END if in_sequence else _ITEM_END):
            self.open.pop()
        else:
            raise _error('dump_block', line=self.line)

    def _read_element(self, tag, vr, value):
        if len(self.open) % 2 == 0:
            raise _error('dump_block', line=self.line)
        if tag.group <= 4 or tag.element == 0:
            # The header of the file and group lengths are made anew.
            if vr != 'UI' and value.startswith(('=', '[=')):
                raise _error('value', tag, self.line, value=value, vr=vr)
            return
        vr = _find_vr(tag, vr, self.line)
        if vr != 'SQ':
            value = self._read_value(tag, vr, value)
            self.open[-1].append(Node(tag, vr, self.line, pieces(value)))
            return
        items = []
        self.open[-1].append(Node(tag, vr, self.line, (), items))
        self.open.append(items)
        if len(self.open) > 2 * _MAX_DEPTH:
            raise _error('depth', tag, self.line)

    def _read_value(self, tag, vr, value):
        if value.startswith('['):
            end = value.rfind(']')
            if end < 0:
                raise _error('dump_bracket', tag, self.line)
            value = value[1:end]
        elif value.startswith('(') and vr != 'AT':
            value = ''
        else:
            value = value.split('#')[0].strip()
        if vr == 'UI' and value.startswith('='):
            return _find_uid(tag, value[1:], self.line)
        return value


def _find_uid(tag, name, line):
    # dcmtk puts the service before the name of a model, pydicom after it.
    name = re.sub('^(FIND|MOVE|GET)(.*)$', r'\2\1', name).lower()
    for value, entry in uid.UID_dictionary.items():
        if entry[4].lower() == name:
            return value
    raise _error('uid_name', tag, line, value=readable(name))


# JSON

@kept
def _read_json(text):
    """Return the nodes of a JSON object of DICOM keywords, and what is to
    note.  Attributes of the scheduled procedure step may stand beside the
    others; they are put in the item of its sequence."""
    try:
        pairs = json.loads(
            quote_tokens(text), object_pairs_hook=_Pairs,
            parse_constant=_refuse_constant)
    except json.JSONDecodeError as error:
        raise _error(
            'json_syntax', line=error.lineno, detail=error.msg) from None
    except (ValueError, RecursionError) as error:
        raise _error('json_syntax', detail=error) from None
    if not isinstance(pairs, _Pairs):
        raise _error('json_object', line=1)
    reader = _JSONReader(text)
    return reader.read(pairs), reader.notes


class _Pairs(list):
    """The keys and values of a JSON object, repeated keys included."""


def _refuse_constant(name):
    raise ValueError(f'"{name}" is not a value')


class _JSONReader:
    """Makes nodes of the pairs of one JSON ``text``."""

    def __init__(self, text):
        self.text = text
        self.notes = []
        self.depth = 0

    def read(self, pairs):
        steps = [p for p in pairs if p[0] in _STEP_KEYWORDS]
        nodes = self._read_object(
            p for p in pairs if p[0] not in _STEP_KEYWORDS)
        if steps:
            found = next((node for node in nodes if node.tag == _STEPS), None)
            if not found:
                found = Node(Tag(_STEPS), 'SQ', None, (), [[]])
                nodes.append(found)
            if len(found.items) != 1:
                raise _error(
                    'items', _STEPS, found.line, count=len(found.items))
            found.items[0].extend(self._read_object(steps))
        return nodes

    def _read_object(self, pairs):
        nodes = []
        for key, value in pairs:
            line, tag = self._line(key), _find_tag(key)
            if tag is None:
                self.notes.append(Finding('keyword', readable(key), line, {}))
            else:
                nodes.append(self._read_element(tag, value, line))
        return nodes

    def _read_element(self, tag, value, line):
        vr = _find_vr(tag, '', line)
        if vr != 'SQ':
            return Node(tag, vr, line, pieces(_scalar(tag, vr, value, line)))
        if isinstance(value, _Pairs):
            value = [value]
        items = [] if value in (None, '') else value
        if not isinstance(items, list) or not all(
                isinstance(item, _Pairs) for item in items):
            raise _error(
                'value', tag, line, value=readable(str(value)), vr=vr)
        self.depth += 1
        if self.depth > _MAX_DEPTH:
            raise _error('depth', tag, line)
        items = [self._read_object(item) for item in items]
        self.depth -= 1
        return Node(tag, vr, line, (), items)

    def _line(self, key):
        found = self.text.find(json.dumps(key, ensure_ascii=False))
        return self.text.count('\n', 0, found) + 1 if found >= 0 else None


def _find_tag(key):
    tag = tag_for_keyword(key)
    if tag is None and re.fullmatch('[0-9a-fA-F]{4},?[0-9a-fA-F]{4}', key):
        tag = int(key.replace(',', ''), 16)
    known = tag is not None and dictionary_has_tag(tag)
    return Tag(tag) if known else None


def _scalar(tag, vr, value, line):
    several = isinstance(value, list) and not isinstance(value, _Pairs)
    values = value if several else [value]
    if any(isinstance(item, (bool, list)) for item in values):
        raise _error('value', tag, line, value=readable(str(value)), vr=vr)
    return '\\'.join('' if item is None else str(item) for item in values)


_READERS = {DUMP2DCM: _read_dump, JSON: _read_json}


def from_text(text, template_type):
    """Return the `Entry` of a rendered template.

    :param text: `texts.Text`, or a str without values apart
    :param str template_type: ``dump2dcm`` or ``json``
    :raises DatasetError: it cannot be read
    """
    skeleton, values = (readable(text), ()) if isinstance(text, str) else text
    nodes, notes = _READERS[template_type](skeleton)
    entry = _build(nodes, values, template_type)
    entry.notes = list(notes)
    return entry


# Checking

def fit(entry, charset=None):
    """Make the texts and names of ``entry`` fit, and give the step the ID of
    the procedure when it has none. Returns ``entry``.

    They are written in the nearest form that the ``charset`` can hold, and
    cut where they are too long for their VR. What identifies stays: it is
    whole, or `validate` and `to_bytes` find it wrong.
    """
    _fit_texts(entry, repair_charset(_text(entry.get(_CHARSET)) or charset))
    steps = entry.get(_STEPS)
    if steps and len(steps.value) == 1:
        step = steps.value[0]
        number = entry.get('RequestedProcedureID')
        if number and 'ScheduledProcedureStepID' not in step:
            step.ScheduledProcedureStepID = number
    return entry


def _fit_texts(entry, charset):
    for element in entry.values():
        if element.VR == 'SQ':
            for item in element.value:
                _fit_texts(item, charset)
        elif element.VR in ENCODED_VRS and not identifies(element.keyword):
            texts = [str(value) for value in _values(element)]
            values = [
                _cut(element.VR, to_charset(text, charset)) for text in texts]
            if values != texts:
                element.value = values if len(values) > 1 else values[0]


def _cut(vr, text):
    if vr == 'PN':
        return '='.join(
            cut(group, LENGTHS[vr]).rstrip('^') for group in text.split('='))
    return cut(text, LENGTHS.get(vr, len(text)))


def _values(element):
    value = element.value
    if isinstance(value, MultiValue):
        return value
    return [] if value is None or value == '' else [value]


def _text(element):
    """Return the values of an element, or of None, as one text."""
    return '\\'.join(map(str, _values(element))) if element else ''


def validate(entry):
    """Return the list of `Finding` of an entry: attributes of PS3.4 table
    K.6-1 without which no modality can work, values that their VR (PS3.5
    section 6.2) does not allow, and what the reader noted."""
    return [
        *entry.notes, *_check_present(entry, _REQUIRED, _EXPECTED),
        *_check_steps(entry), *_check_values(entry)]


def _check_steps(entry):
    if _STEPS not in entry:
        yield _finding('missing', _STEPS)
        return
    items = entry[_STEPS].value
    if len(items) != 1:
        yield _finding(
            'items', _STEPS, entry.lines.get(_STEPS), count=len(items))
    for item in items:
        yield from _check_present(item, _REQUIRED_STEP, _EXPECTED_STEP)


def _check_present(entry, required, expected):
    for keyword in [*required, *expected]:
        tag = tag_for_keyword(keyword)
        if tag not in entry or entry[tag].is_empty:
            code = 'empty' if tag in entry else 'missing'
            yield _finding(
                code if keyword in required else 'expected', tag,
                entry.lines.get(tag))


def _check_values(entry):
    for element in entry:
        if element.VR == 'SQ':
            for item in element.value:
                yield from _check_values(item)
        else:
            line = entry.lines.get(element.tag)
            for code, values in _check_element(element):
                yield _finding(code, element.tag, line, **values)


def _check_element(element):
    values = [str(value) for value in _values(element)]
    if element.tag == _CHARSET:
        term = '\\'.join(values)
        if values and not repair_charset(term):
            yield 'charset', {'value': term}
        return
    if len(values) > 1 and dictionary_has_tag(element.tag) and (
            dictionary_VM(element.tag) == '1'):
        yield 'values', {'count': len(values)}
    for value in filter(None, values):
        problem = _check_value(element.VR, value)
        if problem:
            yield problem


def _check_value(vr, value):
    """Return the code and values of what is wrong with one text, or None."""
    wrong = {'value': value, 'vr': vr}
    groups = value.split('=') if vr == 'PN' else [value]
    if len(groups) > 3 or vr == 'PN' and any(
            group.count('^') > 4 for group in groups):
        return 'name', {}
    length = max(map(len, groups))
    if length > LENGTHS.get(vr, length):
        return 'length', {'length': length, 'limit': LENGTHS[vr]}
    if vr in ENCODED_VRS:
        pattern = _CONTROL_IN_TEXT if vr in TEXT_VRS else _CONTROL
        return ('characters', wrong) if pattern.search(value) else None
    try:
        if vr in _ASCII_VRS:
            validate_value(vr, value, config.RAISE)
        # Days that no month has, and roots that no UID has.
        if vr == 'DA' and not DA(value) or vr == 'UI' and not is_uid(value):
            return 'value', wrong
    except ValueError:
        return 'value', wrong


# Files

def complete(text, template_type, charset=None):
    """Return the `Entry` of a rendered template, made fit and checked.

    :param text: `texts.Text`, or a str without values apart
    :param str charset: the SpecificCharacterSet (CS) unless it names one
    :raises DatasetError: with all that is wrong
    """
    entry = fit(from_text(text, template_type), charset or BASIC_CHARSET)
    errors = [finding for finding in validate(entry) if finding.is_error]
    if errors:
        raise DatasetError(errors)
    return entry


def to_bytes(entry, charset=None):
    """Return ``entry`` as the bytes of a DICOM file (PS3.10, Modality
    Worklist Information Model - FIND, Explicit VR Little Endian).

    The SpecificCharacterSet of the entry counts, else ``charset``; that of
    ``entry`` is put right.  The UID of the file is derived from the entry:
    the same entry always gives the same bytes.

    :raises DatasetError: the character set does not have a text
    """
    charset = _choose_charset(entry, charset)
    body = _encode_entry(entry, charset)
    meta = b''.join([
            _encode(0x00020001, 'OB', b'\0\1'),
            _encode(0x00020002, 'UI', SOP_CLASS_UID),
            _encode(0x00020003, 'UI', generate_uid(value=body.hex())),
            _encode(0x00020010, 'UI', uid.ExplicitVRLittleEndian),
            _encode(0x00020012, 'UI', IMPLEMENTATION_CLASS_UID),
            _encode(0x00020013, 'SH', IMPLEMENTATION_VERSION_NAME),
            ])
    length = _encode(0x00020000, 'UL', struct.pack('<L', len(meta)))
    return b'\0' * 128 + b'DICM' + length + meta + body


def _choose_charset(entry, charset):
    written = _text(entry.get(_CHARSET)) or charset
    if not written:
        # Without a term only ASCII may be written (PS3.5 section 6.1.2.1).
        entry.pop(_CHARSET, None)
        return BASIC_CHARSET
    term = repair_charset(written)
    if term is None:
        raise _error(
            'charset', _CHARSET, entry.lines.get(_CHARSET), value=written)
    entry[_CHARSET] = DataElement(_CHARSET, 'CS', term)
    return term


def _encode_entry(entry, charset):
    return b''.join(_encode_element(e, charset, entry) for e in entry)


def _encode_element(element, charset, entry):
    vr = element.VR
    if vr == 'SQ':
        items = [_encode_entry(item, charset) for item in element.value]
        return _encode(element.tag, vr, b''.join(
                struct.pack('<HHL', _ITEM.group, _ITEM.element, len(item))
                + item for item in items))
    if vr not in ENCODED_VRS and vr not in _ASCII_VRS:
        file = DicomBytesIO()
        file.is_little_endian, file.is_implicit_VR = True, False
        write_data_element(file, element)
        return file.getvalue()
    try:
        return _encode(
            element.tag, vr, _text(element),
            charset if vr in ENCODED_VRS else BASIC_CHARSET)
    except EncodingError as error:
        raise _error(
            'encoding', element.tag, entry.lines.get(element.tag),
            characters=error.characters, charset=charset) from None


def _encode(tag, vr, value, charset=BASIC_CHARSET):
    """Return the bytes of an element, its value a text or bytes."""
    if isinstance(value, str):
        value = encode(value, charset, vr)
        value += (b'\0' if vr == 'UI' else b' ') * (len(value) % 2)
    head = struct.pack('<HH2s', tag >> 16, tag & 0xffff, vr.encode())
    if vr in EXPLICIT_VR_LENGTH_32:
        return head + struct.pack('<xxL', len(value)) + value
    if len(value) > 0xffff:
        raise _error('length', tag, length=len(value), limit=LENGTHS.get(vr))
    return head + struct.pack('<H', len(value)) + value


def to_dump(entry):
    """Return the dump of an entry, as dcmtk's dump2dcm reads it: each VR is
    that of the attribute, and each text stands in brackets."""
    lines = []
    for element in entry:
        tag, vr = element.tag, element.VR
        head = f'({tag.group:04x},{tag.element:04x}) {vr}'
        if vr == 'SQ':
            lines.append(head)
            for item in element.value:
                lines += ['(fffe,e000) na', to_dump(item), '(fffe,e00d) na']
            lines.append('(fffe,e0dd) na')
        else:
            lines.append(f'{head} {_dump_value(element)}')
    return '\n'.join(filter(None, lines))


def _dump_value(element):
    if element.VR in _BYTE_VRS:
        return '\\'.join(f'{byte:02x}' for byte in element.value or b'')
    text = _text(element)
    if element.VR in ENCODED_VRS or element.VR in _ASCII_VRS:
        text = _CONTROL.sub(' ', text.replace('\r\n', ' '))
        return f'[{text}]'
    return text
