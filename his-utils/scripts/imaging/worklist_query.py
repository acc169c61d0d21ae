# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ask a worklist as a modality does (C-FIND, DICOM PS3.4 annex K), with
nothing but sockets and pydicom.
"""
import socket
import struct
from contextlib import closing

WORKLIST = '1.2.840.10008.5.1.4.31'
APPLICATION = '1.2.840.10008.3.1.1.1'
IMPLICIT = '1.2.840.10008.1.2'
IMPLEMENTATION = '2.25.321874027866359167036591982603731937105'

# Types of PDUs, PS3.8 section 9.3.
REQUEST, ACCEPT, REJECT, DATA, RELEASE, RELEASED, ABORT = range(1, 8)

LARGEST_PDU = 16384
LARGEST_ANSWER = 4 * 1024 * 1024
MOST_ANSWERS = 100_000
PENDING = {0xff00, 0xff01}
NO_DATASET = 0x0101

_REJECTIONS = {
    # Source and reason, PS3.8 table 9-21.
    (1, 3): "it does not know the AE title that asks",
    (1, 7): "it has another AE title",
    }
# What is asked for; those of the step with their path.
_RETURNED = [
    'SpecificCharacterSet', 'AccessionNumber', 'ReferringPhysicianName',
    'PatientName', 'PatientID', 'StudyInstanceUID', 'RequestingPhysician',
    'RequestedProcedureDescription', 'RequestedProcedureID']
_RETURNED_OF_STEP = [
    'Modality', 'ScheduledProcedureStepStartDate',
    'ScheduledProcedureStepStartTime', 'ScheduledProcedureStepDescription',
    'ScheduledProcedureStepID']


class QueryRefused(Exception):
    "The server does not answer this AE title; says why."


class QueryFailed(Exception):
    "What the server says is no DICOM, or it breaks off."


def ask(host, port, calling, called, station=None, seconds=10):
    """Return what a worklist server answers to a modality.

    :param str calling: AE title of the modality
    :param str called: AE title of the server
    :param str station: ScheduledStationAETitle (AE) that entries must have,
        None for any
    :param seconds: the longest silence
    :return: list of pydicom data sets
    :raises QueryRefused, QueryFailed: see there
    :raises OSError: no connection
    """
    with closing(socket.create_connection((host, port), seconds)) as link:
        link.settimeout(seconds)
        connection = _Association(link)
        try:
            connection.open(calling, called)
            answers = connection.find(_keys(station))
            connection.release()
        except (struct.error, IndexError, LookupError) as error:
            raise QueryFailed(f"its answer is no DICOM: {error}") from None
    return answers


def _keys(station):
    from pydicom.dataset import Dataset
    step = Dataset()
    for keyword in _RETURNED_OF_STEP:
        setattr(step, keyword, None)
    step.ScheduledStationAETitle = station
    keys = Dataset()
    for keyword in _RETURNED:
        setattr(keys, keyword, None)
    keys.ScheduledProcedureStepSequence = [step]
    return keys


class _Association:
    """A connection to a DICOM server, PS3.8 section 7.

    :param link: a connected socket
    """

    def __init__(self, link):
        self._link = link
        self._largest = LARGEST_PDU

    def open(self, calling, called):
        "Agree on the worklist; raise QueryRefused."
        self._send(REQUEST, struct.pack('>HH', 1, 0)
            + _title(called) + _title(calling) + bytes(32)
            + _item(0x10, APPLICATION.encode())
            + _item(0x20, bytes([1, 0, 0, 0])
                + _item(0x30, WORKLIST.encode())
                + _item(0x40, IMPLICIT.encode()))
            + _item(0x50, _item(0x51, struct.pack('>I', LARGEST_PDU))
                + _item(0x52, IMPLEMENTATION.encode())))
        kind, body = self._receive()
        if kind == REJECT:
            reason = _REJECTIONS.get(
                (body[2], body[3]), f"reason {body[2]}/{body[3]}")
            raise QueryRefused(f"it rejects the association, {reason}")
        if kind != ACCEPT:
            raise QueryRefused("it breaks off the association")
        self._read_acceptance(body[68:])

    def _read_acceptance(self, items):
        results = {}
        for kind, value in _items(items):
            if kind == 0x21:
                results[value[0]] = value[2]
            elif kind == 0x50:
                sizes = dict(_items(value))
                if 0x51 in sizes:
                    self._largest, = struct.unpack('>I', sizes[0x51])
        if results.get(1) != 0:
            raise QueryRefused("it does not let it ask for worklists")

    def find(self, keys):
        "Return the answers to the keys, data sets."
        self._send_data(_command(), 1)
        self._send_data(_encode(keys), 0)
        answers = []
        while True:
            command = _decode(self._receive_data(1))
            status = command[0x0000, 0x0900].value
            dataset = None
            if command[0x0000, 0x0800].value != NO_DATASET:
                dataset = _decode(self._receive_data(0))
            if status not in PENDING:
                break
            answers.append(dataset)
            if dataset is None or len(answers) > MOST_ANSWERS:
                raise QueryFailed("its answer cannot be understood")
        if status:
            raise QueryRefused(
                f"it answers the question with the status {status:04X}")
        return answers

    def release(self):
        "End politely."
        try:
            self._send(RELEASE, bytes(4))
            self._receive()
        except (OSError, QueryFailed):
            pass

    def _send(self, kind, body):
        self._link.sendall(struct.pack('>BBI', kind, 0, len(body)) + body)

    def _send_data(self, data, is_command):
        room = (self._largest or LARGEST_PDU) - 6
        parts = [data[i:i + room] for i in range(0, len(data), room)]
        for part in parts:
            control = is_command | (2 if part is parts[-1] else 0)
            self._send(DATA, struct.pack(
                    '>IBB', len(part) + 2, 1, control) + part)

    def _receive_data(self, is_command):
        "Return the next command or data set, bytes."
        data, last = b'', False
        while not last:
            kind, body = self._receive()
            if kind == ABORT:
                raise QueryRefused("it breaks off when it is asked")
            if kind != DATA:
                raise QueryFailed("its answer cannot be understood")
            for control, part in _fragments(body):
                if control & 1 != is_command:
                    raise QueryFailed("its answer cannot be understood")
                data, last = data + part, bool(control & 2)
            if len(data) > LARGEST_ANSWER:
                raise QueryFailed("its answer is too long")
        return data

    def _receive(self):
        "Return type and body of the next PDU."
        kind, _, length = struct.unpack('>BBI', self._read(6))
        if length > LARGEST_ANSWER or kind not in range(1, 8):
            raise QueryFailed("what answers there does not speak DICOM")
        return kind, self._read(length)

    def _read(self, length):
        data = b''
        while len(data) < length:
            part = self._link.recv(min(65536, length - len(data)))
            if not part:
                raise QueryFailed("it closes the connection")
            data += part
        return data


def _title(text):
    return text.encode('ascii', 'replace')[:16].ljust(16)


def _item(kind, value):
    return struct.pack('>BBH', kind, 0, len(value)) + value


def _items(data):
    while data:
        kind, _, length = struct.unpack('>BBH', data[:4])
        yield kind, data[4:4 + length]
        data = data[4 + length:]


def _fragments(data):
    while data:
        length, _, control = struct.unpack('>IBB', data[:6])
        if length < 2:
            raise QueryFailed("its answer cannot be understood")
        yield control, data[6:4 + length]
        data = data[4 + length:]


def _command():
    "Return the command C-FIND-RQ, PS3.7 section 9.3.2.1."
    elements = [
        (0x0002, WORKLIST.encode().ljust(len(WORKLIST) + 1 & ~1, b'\0')),
        (0x0100, struct.pack('<H', 0x0020)),
        (0x0110, struct.pack('<H', 1)),
        (0x0700, struct.pack('<H', 0)),
        (0x0800, struct.pack('<H', 1)),
        ]
    data = b''.join(
        struct.pack('<HHI', 0, number, len(value)) + value
        for number, value in elements)
    return struct.pack('<HHII', 0, 0, 4, len(data)) + data


def _encode(dataset):
    from pydicom.filebase import DicomBytesIO
    from pydicom.filewriter import write_dataset
    file = DicomBytesIO()
    file.is_implicit_VR = file.is_little_endian = True
    write_dataset(file, dataset)
    return file.getvalue()


def _decode(data):
    from pydicom.filebase import DicomBytesIO
    from pydicom.filereader import read_dataset
    try:
        return read_dataset(DicomBytesIO(data), True, True)
    except (EOFError, ValueError) as error:
        raise QueryFailed(f"its answer cannot be read: {error}") from None
