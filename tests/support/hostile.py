# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""DICOM files that end or stall a server which parses them, written byte by
byte (PS3.5, 7; PS3.10, 7)."""
import itertools
import struct
import zlib

from .archive import ROOT

EXPLICIT = '1.2.840.10008.1.2.1'
IMPLICIT = '1.2.840.10008.1.2'
DEFLATED = '1.2.840.10008.1.2.1.99'
BIG_ENDIAN = '1.2.840.10008.1.2.2'
JPEG = '1.2.840.10008.1.2.4.50'
SECONDARY_CAPTURE = '1.2.840.10008.5.1.4.1.1.7'
UNDEFINED = 0xffffffff
LONG = {'OB', 'OW', 'SQ', 'UN', 'UT'}

_counter = itertools.count(1)


class Writer:
    "Writes elements in one transfer syntax."

    def __init__(self, syntax=EXPLICIT):
        self.syntax = syntax
        self.explicit = syntax != IMPLICIT
        self.order = '>' if syntax == BIG_ENDIAN else '<'

    def pack(self, form, *values):
        return struct.pack(self.order + form, *values)

    def head(self, tag, vr, length):
        "Return the head of an element: tag, VR and length."
        numbers = tag >> 16, tag & 0xffff
        if not self.explicit:
            return self.pack('HHI', *numbers, length)
        if vr in LONG:
            return self.pack('HH2sHI', *numbers, vr.encode(), 0, length)
        return self.pack('HH2sH', *numbers, vr.encode(), length)

    def element(self, tag, vr, value=b''):
        value = value.encode() if isinstance(value, str) else value
        value += b'\0' * (len(value) % 2)
        return self.head(tag, vr, len(value)) + value

    def item(self, value=b'', delimited=False):
        if delimited:
            return self.pack('HHI', 0xfffe, 0xe000, UNDEFINED) + value + (
                self.pack('HHI', 0xfffe, 0xe00d, 0))
        return self.pack('HHI', 0xfffe, 0xe000, len(value)) + value

    def sequence(self, *items, tag=0x0040a730, vr='SQ', delimited=False):
        value = b''.join(items)
        if delimited:
            return self.head(tag, vr, UNDEFINED) + value + (
                self.pack('HHI', 0xfffe, 0xe0dd, 0))
        return self.head(tag, vr, len(value)) + value

    def nested(self, depth, delimited=True, tag=0x0040a730):
        "Return sequences in sequences, so many levels deep."
        value = b''
        for _ in range(depth):
            value = self.sequence(
                self.item(value, delimited), tag=tag, delimited=delimited)
        return value

    def file(self, body=b'', pixels=None, after=b'', claimed=None):
        """Return a whole file.

        :param body: elements before the pixels
        :param pixels: the element of the pixels, None: four of them
        :param after: elements behind the pixels
        :param claimed: the transfer syntax that the file names, None: the
            one in which it is written
        """
        uid = f'{ROOT}.7.{next(_counter)}'
        meta = self.meta(uid, claimed or self.syntax)
        data = self.data_set(uid) + body + (
            self.element(0x7fe00010, 'OB', b'\0\x40\x80\xff')
            if pixels is None else pixels) + after
        if self.syntax == DEFLATED:
            packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
            data = packer.compress(data) + packer.flush()
        return bytes(128) + b'DICM' + meta + data

    @staticmethod
    def meta(uid, syntax, more=b'', length=None):
        "Return the file meta information."
        element = Writer().element
        meta = (
            element(0x00020001, 'OB', b'\0\1')
            + element(0x00020002, 'UI', SECONDARY_CAPTURE)
            + element(0x00020003, 'UI', uid)
            + element(0x00020010, 'UI', syntax) + more)
        length = len(meta) if length is None else length
        return element(0x00020000, 'UL', struct.pack('<I', length)) + meta

    def data_set(self, uid):
        "Return the elements of a small picture, without its pixels."
        def number(tag, value):
            return self.element(tag, 'US', self.pack('H', value))
        return b''.join([
                self.element(0x00080016, 'UI', SECONDARY_CAPTURE),
                self.element(0x00080018, 'UI', uid),
                self.element(0x00080060, 'CS', 'OT'),
                self.element(0x00100010, 'PN', 'Betz^Ana'),
                self.element(0x00100020, 'LO', 'HOSTILE'),
                self.element(0x0020000d, 'UI', f'{ROOT}.7'),
                self.element(0x0020000e, 'UI', f'{ROOT}.7.0'),
                number(0x00280002, 1),
                self.element(0x00280004, 'CS', 'MONOCHROME2'),
                number(0x00280010, 2), number(0x00280011, 2),
                number(0x00280100, 8), number(0x00280101, 8),
                number(0x00280102, 7), number(0x00280103, 0),
                ])


def _nested_files(depth):
    "Yield the names and contents of files with sequences so deep."
    explicit, implicit = Writer(), Writer(IMPLICIT)
    for syntax in [EXPLICIT, IMPLICIT, BIG_ENDIAN, DEFLATED]:
        for delimited in [True, False]:
            writer = Writer(syntax)
            yield f'{syntax} {delimited}', writer.file(
                writer.nested(depth, delimited))
    deep = explicit.nested(depth)
    yield 'private', explicit.file(explicit.nested(depth, tag=0x00411001))
    yield 'private implicit', implicit.file(
        implicit.nested(depth, tag=0x00411001))
    # CP-246: what is unknown and of undefined length is implicit.
    yield 'unknown', explicit.file(explicit.sequence(
            explicit.item(implicit.nested(depth), True),
            tag=0x00411001, vr='UN', delimited=True))
    yield 'behind the pixels', explicit.file(
        after=explicit.nested(depth, tag=0x7fe11001))
    yield 'pixels are a sequence', explicit.file(pixels=explicit.sequence(
            explicit.item(deep), tag=0x7fe00010, delimited=True))
    yield 'unknown syntax', explicit.file(deep, claimed='1.2.3')
    yield 'lying length of an item', explicit.file(explicit.head(
            0x0040a730, 'SQ', UNDEFINED) + explicit.pack(
                'HHI', 0xfffe, 0xe000, 8) + deep)
    yield 'cut', explicit.file(deep[:depth * 20], pixels=b'')
    meta = Writer.meta(f'{ROOT}.7.1', EXPLICIT, more=explicit.nested(
            depth, tag=0x00020102))
    yield 'in the meta information', (
        bytes(128) + b'DICM' + meta + explicit.data_set(f'{ROOT}.7.1'))
    whole = explicit.file(deep)
    data_set = whole[whole.index(explicit.head(0x00080016, 'UI', 26)):]
    yield 'without preamble', whole[132:]
    yield 'data set alone', data_set
    yield 'without meta information', bytes(128) + b'DICM' + data_set


def _crowded_files():
    "Yield the names and contents of files with too much in them."
    explicit = Writer()
    item = explicit.item()
    yield 'items', explicit.file(explicit.sequence(*[item] * 600000))
    yield 'delimited items', explicit.file(explicit.sequence(
            *[item] * 600000, delimited=True))
    yield 'unknown items', explicit.file(explicit.sequence(
            *[item] * 600000, tag=0x00411001, vr='UN', delimited=True))
    yield 'many sequences', explicit.file(b''.join(
            explicit.sequence(*[item] * 15000, tag=0x00411000 + number)
            for number in range(40)))
    yield 'items in items', explicit.file(explicit.sequence(*[
                explicit.item(explicit.sequence(*[item] * 700))] * 900))
    yield 'elements', explicit.file(b''.join(
            explicit.element(0x00411000 + number, 'LO')
            for number in range(60000)))
    yield 'the same element', explicit.file(
        explicit.element(0x00411001, 'LO') * 60000)
    yield 'fragments', Writer(JPEG).file(pixels=explicit.sequence(
            *[item] * 1100000, tag=0x7fe00010, vr='OB', delimited=True))


def _lying_files():
    "Yield the names and contents of files whose lengths lie."
    explicit, implicit = Writer(), Writer(IMPLICIT)
    uid = f'{ROOT}.7.2'
    filler = explicit.element(0x7fe11001, 'OB', bytes(500))
    for length in [8, 11, 2 ** 31 - 1, 2 ** 31, UNDEFINED]:
        yield f'group length {length}', (
            bytes(128) + b'DICM' + Writer.meta(uid, EXPLICIT, length=length)
            + explicit.data_set(uid))
    for name, vr in [('long', 'UT'), ('bytes', 'OB'), ('sequence', 'SQ')]:
        yield f'{name} beyond the file', explicit.file(
            explicit.head(0x00411001, vr, 2 ** 31), after=filler)
    yield 'syntax of later years', implicit.file(
        implicit.nested(60), claimed='1.2.840.10008.1.2.1.98')
    yield 'sequence beyond the file', explicit.file(
        explicit.head(0x0040a730, 'SQ', UNDEFINED - 1)
        + explicit.item(explicit.nested(10)))
    yield 'no such VR', explicit.file(
        explicit.head(0x00411001, '??', 0) + explicit.nested(60))
    yield 'two syntaxes', (
        bytes(128) + b'DICM' + Writer.meta(uid, EXPLICIT, more=(
                explicit.element(0x00020010, 'UI', IMPLICIT)))
        + explicit.data_set(uid))


def hostile():
    """Return what must not be sent: for each reason the contents by name,
    dict of dicts."""
    return {
        'nested': dict(_nested_files(60)),
        'items': dict(_crowded_files()),
        'structure': dict(_lying_files()),
        'inflated': {'deflated': Writer(DEFLATED).file(
                Writer().element(0x00411001, 'OB', bytes(70 * 2 ** 20)))},
        }


def harmless():
    "Return the names and contents of odd files that are no danger, dict."
    explicit = Writer()
    item = explicit.item()
    frame = b''.join(
        explicit.sequence(explicit.item(
                explicit.element(0x00181000 + number, 'LO', 'a value')),
            tag=0x00209110 + number) for number in range(9))
    files = {
        'plain': explicit.file(),
        'sixteen levels': explicit.file(explicit.nested(16)),
        'items': explicit.file(explicit.sequence(*[item] * 20000)),
        'frames': explicit.file(explicit.sequence(
                *[explicit.item(frame)] * 5000, tag=0x52009230)),
        'fragments': Writer(JPEG).file(pixels=explicit.sequence(
                *[item] * 1000000, tag=0x7fe00010, vr='OB', delimited=True)),
        'filled up': explicit.file(after=bytes(8192)),
        # Private data that begin like an item and are none
        'private': Writer(IMPLICIT).file(Writer(IMPLICIT).element(
                0x00411001, 'UN', explicit.item()[:4] + b'\xff' * 300)),
        }
    for syntax in [IMPLICIT, BIG_ENDIAN, DEFLATED]:
        writer = Writer(syntax)
        files[syntax] = writer.file(writer.nested(3))
    return files
