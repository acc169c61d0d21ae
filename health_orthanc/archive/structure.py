# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bounds on the structure of a DICOM file. A server that parses it needs stack
for each level of sequences, and time that grows with the square of a list."""
import io
import math
import struct
import zlib
from typing import NamedTuple

from pydicom import config
from pydicom.datadict import dictionary_VR
from pydicom.uid import UID

#: Levels of nested sequences. Structured reports need about ten.
MAX_DEPTH = 16
#: Items of one sequence, and elements of one data set
MAX_ITEMS = 20000
#: Fragments of encapsulated pixel data (PS3.5, A.4)
MAX_FRAGMENTS = 10 ** 6
# An element or item costs this, and the number of those before it in its
# list. The budget allows one list of MAX_ITEMS, or 290 000 elements and items
# in short lists, which take a server about 400 MB.
_COST = 800
_BUDGET = MAX_ITEMS * (2 * _COST + MAX_ITEMS // 2)
#: To what a deflated data set may grow: this factor, but SMALL_BYTES always
#: and LARGE_BYTES never.
MAX_RATIO = 200
SMALL_BYTES = 64 * 2 ** 20
LARGE_BYTES = 512 * 2 ** 20
# Fewer bytes do not hold MAX_DEPTH levels.
_HARMLESS_TAIL = MAX_DEPTH * 16

_CHUNK = 2 ** 16
_UNDEFINED = 0xffffffff
_ITEM, _END_OF_ITEM, _END_OF_SEQUENCE = 0xfffee000, 0xfffee00d, 0xfffee0dd
_ITEM_BYTES = (b'\xfe\xff\x00\xe0', b'\xff\xfe\xe0\x00')
_GROUP_LENGTH, _TRANSFER_SYNTAX = 0x00020000, 0x00020010
_PIXEL_DATA = 0x7fe00010
# Value representations of pixel data, the third in the dictionary
_PIXELS = {'OB', 'OW', 'OB or OW'}
# Value representations (PS3.5, 7.1.2) by the size of their length
_LONG = {'OB', 'OD', 'OF', 'OL', 'OV', 'OW', 'SQ', 'SV', 'UC', 'UN', 'UR',
    'UT', 'UV'}
_SHORT = {'AE', 'AS', 'AT', 'CS', 'DA', 'DS', 'DT', 'FD', 'FL', 'IS', 'LO',
    'LT', 'PN', 'SH', 'SL', 'SS', 'ST', 'TM', 'UI', 'UL', 'US'}


class StructureError(Exception):
    """A file that must not reach a parser.

    :ivar str reason: nested, items, inflated or structure (it cannot be read)
    """

    def __init__(self, reason):
        super().__init__(reason)
        self.reason = reason


class _Encoding(NamedTuple):
    explicit: bool
    order: str


_IMPLICIT = _Encoding(False, '<')
_EXPLICIT = _Encoding(True, '<')
_BIG_ENDIAN = _Encoding(True, '>')
# Transfer syntaxes (PS3.6, A) that are not explicit and little endian: the
# second is one of GE Healthcare.
_SYNTAXES = {
    '1.2.840.10008.1.2': _IMPLICIT,
    '1.2.840.113619.5.2': _IMPLICIT,
    '1.2.840.10008.1.2.2': _BIG_ENDIAN,
    }
_DEFLATED = {
    '1.2.840.10008.1.2.1.99', '1.2.840.10008.1.2.4.95',
    '1.2.840.10008.1.2.4.205'}


def check(file, size=None):
    """Check the structure of a DICOM file (PS3.10, 7), with or without a
    preamble.

    :param file: binary file at its begin; it is read forwards, and not
        beyond what decides
    :param int size: in bytes, None: as large as it says when it can seek
    :raises StructureError: the file is dangerous or cannot be read
    """
    reader = _Reader(file, size)
    if reader.peek(132)[128:] == b'DICM':
        reader.skip(132)
    syntax = _Walk(reader).meta()
    if syntax in _DEFLATED:
        reader = _Reader(_Inflated(reader))
    _Walk(reader).data_set(_encoding(reader, syntax))


def _encoding(reader, syntax):
    """Return the _Encoding of a data set: that of its transfer syntax, or what
    its first bytes look like when the syntax is missing or private."""
    if syntax in _SYNTAXES:
        return _SYNTAXES[syntax]
    if UID(syntax, config.IGNORE).type == 'Transfer Syntax':
        return _EXPLICIT
    head = reader.peek(6)
    vr = head[4:]
    explicit = _text(vr) in _LONG | _SHORT
    if vr.isalpha() and not explicit:
        raise StructureError('structure')
    return _Encoding(explicit, '<' if head[1:2] <= head[:1] else '>')


def _text(value):
    return value.decode('latin-1')


class _Reader:
    "A file that is read forwards in large pieces, of a size or math.inf."

    def __init__(self, file, size=None):
        self._file = file
        self._buffer = b''
        self._at = self._start = self.position = 0
        self._seek = file.seekable()
        if self._seek:
            self._start = file.tell()
            if size is None:
                size = file.seek(0, io.SEEK_END) - self._start
            file.seek(self._start)
        self.size = math.inf if size is None else size

    def peek(self, count):
        "Return the next bytes, fewer at the end of the file."
        while len(self._buffer) - self._at < count:
            more = self._file.read(_CHUNK)
            self._buffer, self._at = self._buffer[self._at:] + more, 0
            if not more:
                break
        return self._buffer[self._at:self._at + count]

    def take(self, count):
        "Return the next bytes, all of them."
        value = self.peek(count)
        if len(value) < count:
            raise StructureError('structure')
        self._at += count
        self.position += count
        return value

    def skip(self, count):
        if self.position + count > self.size:
            raise StructureError('structure')
        buffered = min(count, len(self._buffer) - self._at)
        self._at += buffered
        self.position += buffered
        left = count - buffered
        if left and self._seek:
            self.position += left
            self._file.seek(self._start + self.position)
        while left and not self._seek:
            part = min(left, _CHUNK)
            self.take(part)
            left -= part

    def read(self, count):
        "Return some of the next bytes, as a file does."
        value = self.peek(1) and self.peek(count)
        self.skip(len(value))
        return value


class _Inflated:
    "The data set of a deflated transfer syntax (PS3.5, A.5), read forwards."

    def __init__(self, reader):
        self._reader = reader
        self._inflater = zlib.decompressobj(-zlib.MAX_WBITS)
        packed = 0 if reader.size == math.inf else reader.size
        self._left = min(max(MAX_RATIO * packed, SMALL_BYTES), LARGE_BYTES)

    def seekable(self):
        return False

    def read(self, count):
        inflater, value = self._inflater, b''
        while not value and not inflater.eof:
            packed = inflater.unconsumed_tail or self._reader.read(_CHUNK)
            try:
                value = inflater.decompress(packed, count)
            except zlib.error:
                raise StructureError('structure') from None
            if not packed and not value:
                break
        self._left -= len(value)
        if self._left < 0:
            raise StructureError('inflated')
        return value


class _Walk:
    "Goes through the elements of a file and counts."

    def __init__(self, reader):
        self._reader = reader
        self._left = _BUDGET

    def meta(self):
        """Read the file meta information (PS3.10, 7.1), return its
        TransferSyntaxUID, '' when there is none."""
        reader, syntax, end, index = self._reader, '', None, 0
        while reader.peek(2) == b'\x02\0':
            self._spend(index)
            tag = self._tag(_EXPLICIT)
            vr, length = self._head(tag, _EXPLICIT)
            if tag == _GROUP_LENGTH:
                if index or (vr, length) != ('UL', 4):
                    raise StructureError('structure')
                end = self._length(_EXPLICIT) + reader.position
            elif tag == _TRANSFER_SYNTAX:
                if syntax or length > 64:
                    raise StructureError('structure')
                syntax = _text(reader.take(length)).strip(' \0')
            else:
                self._value(tag, vr, length, reader.size, _EXPLICIT, 0)
            index += 1
        # Orthanc 1.10.1 waits for ever for some that are wrong.
        if end not in {None, reader.position}:
            raise StructureError('structure')
        return syntax

    def data_set(self, encoding):
        "Read the data set of the file."
        reader, index = self._reader, 0
        while reader.size - reader.position > _HARMLESS_TAIL:
            if not reader.peek(1):
                break
            self._spend(index)
            index += 1
            if reader.peek(8) == bytes(8):
                # What fills up a file to the size of a block
                reader.skip(8)
            else:
                self._element(self._tag(encoding), reader.size, encoding, 0)

    def _spend(self, index):
        "Account for an element or item, with so many before it in its list."
        self._left -= _COST + index
        if self._left < 0 or index >= MAX_ITEMS:
            raise StructureError('items')

    def _tag(self, encoding):
        group, number = struct.unpack(
            f'{encoding.order}HH', self._reader.take(4))
        return group << 16 | number

    def _length(self, encoding):
        return struct.unpack(f'{encoding.order}I', self._reader.take(4))[0]

    def _head(self, tag, encoding):
        """Return the VR of an element, None when it is not known, and its
        length."""
        if not encoding.explicit:
            try:
                vr = dictionary_VR(tag)
            except KeyError:
                vr = None
            return vr, self._length(encoding)
        vr = _text(self._reader.take(2))
        if vr in _LONG:
            self._reader.take(2)
            return vr, self._length(encoding)
        if vr not in _SHORT:
            raise StructureError('structure')
        return vr, struct.unpack(
            f'{encoding.order}H', self._reader.take(2))[0]

    def _element(self, tag, end, encoding, depth):
        vr, length = self._head(tag, encoding)
        self._value(tag, vr, length, end, encoding, depth)

    def _value(self, tag, vr, length, end, encoding, depth):
        "Read the value of an element, in so many sequences, up to the end."
        if length == _UNDEFINED:
            if tag == _PIXEL_DATA and vr in _PIXELS:
                self._fragments(encoding)
            else:
                # Unknown ones are always written so (PS3.5, 6.2.2, note 2).
                self._sequence(end, True,
                    _IMPLICIT if vr == 'UN' else encoding, depth + 1)
            return
        stop = self._reader.position + length
        if stop > end:
            raise StructureError('structure')
        if vr == 'SQ':
            self._sequence(stop, False, encoding, depth + 1)
        elif (vr in {'UN', None}
                and self._reader.peek(4) in _ITEM_BYTES):
            self._perhaps_sequence(stop, encoding, depth)
        self._reader.skip(stop - self._reader.position)

    def _perhaps_sequence(self, stop, encoding, depth):
        "Read what looks like a sequence; as one it may end anywhere."
        try:
            self._sequence(stop, False, encoding._replace(explicit=False),
                depth + 1)
        except StructureError as error:
            if error.reason != 'structure':
                raise

    def _sequence(self, end, delimited, encoding, depth):
        "Read the items of a sequence (PS3.5, 7.5), up to end or delimiter."
        if depth > MAX_DEPTH:
            raise StructureError('nested')
        index = 0
        while delimited or self._reader.position < end:
            tag, length = self._tag(encoding), self._length(encoding)
            if tag == _END_OF_SEQUENCE and delimited:
                return
            if tag != _ITEM:
                raise StructureError('structure')
            self._spend(index)
            index += 1
            self._item(length, end, encoding, depth)

    def _item(self, length, end, encoding, depth):
        delimited, index = length == _UNDEFINED, 0
        if not delimited:
            if self._reader.position + length > end:
                raise StructureError('structure')
            end = self._reader.position + length
        while delimited or self._reader.position < end:
            tag = self._tag(encoding)
            if tag == _END_OF_ITEM:
                self._length(encoding)
                if delimited:
                    return
                raise StructureError('structure')
            self._spend(index)
            index += 1
            self._element(tag, end, encoding, depth)

    def _fragments(self, encoding):
        "Read encapsulated pixel data (PS3.5, A.4)."
        take, skip = self._reader.take, self._reader.skip
        head = struct.Struct(f'{encoding.order}HHI')
        for _ in range(MAX_FRAGMENTS + 2):
            group, number, length = head.unpack(take(8))
            tag = group << 16 | number
            if tag == _END_OF_SEQUENCE:
                return
            if tag != _ITEM or length == _UNDEFINED:
                raise StructureError('structure')
            if length:
                skip(length)
        raise StructureError('items')
