# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Synthetic archives for an Orthanc: studies of small images, in several
character sets and with some attributes missing, the same at each run.

The files are written byte by byte (DICOM PS3.10 and PS3.5, Explicit VR Little
Endian), because a hundred thousand of them are needed within a minute.
"""
import io
import struct
import zipfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import FrozenSet, Optional

#: The arc for examples (X.660).
ROOT = '2.999.5'
CT = '1.2.840.10008.5.1.4.1.1.2'
EXPLICIT_LITTLE_ENDIAN = '1.2.840.10008.1.2.1'
LONG_LENGTH = {'OB', 'OW', 'SQ', 'UN', 'UT'}
FILES_PER_UPLOAD = 1500

# Names, SpecificCharacterSet (0008,0005) and Python's name of it.
NAMES = [
    ('Müller^Jürgen', 'ISO_IR 100', 'latin-1'),
    ('Иванова^Анна', 'ISO_IR 144', 'iso8859-5'),
    ('Παπαδόπουλος^Νίκος', 'ISO_IR 126', 'iso8859-7'),
    ('王^小東', 'ISO_IR 192', 'utf-8'),
    ('Doe^John', '', 'ascii'),
    ('陈^丽华', 'GB18030', 'gb18030'),
    ('שלום^דוד', 'ISO_IR 138', 'iso8859-8'),
    ]
# Each of these is missing in one study of ten.
OPTIONAL = [
    'PatientName', 'PatientBirthDate', 'PatientSex', 'StudyDate', 'StudyTime',
    'AccessionNumber', 'StudyDescription', 'ReferringPhysicianName',
    'StudyID', 'Modality']


@dataclass(frozen=True)
class Study:
    """A study to make.

    :ivar series: how many series it has
    :ivar instances: how many instances each series has
    :ivar omitted: keywords of attributes that are not written
    :ivar first: number of the first instance, to add some to a study
    """
    uid: str
    patient_id: str
    patient_name: str
    charset: str
    encoding: str
    birth_date: str
    sex: str
    date: str
    description: str
    accession_number: str
    series: int = 3
    instances: int = 25
    omitted: FrozenSet[str] = field(default_factory=frozenset)
    first: int = 1
    modality: Optional[str] = 'CT'


def study(number, **changes):
    """Return the study of a number.

    :param changes: values of Study that shall be others
    """
    name, charset, encoding = NAMES[number % len(NAMES)]
    omitted = {OPTIONAL[number // 10 % len(OPTIONAL)]} if (
        number % 10 == 9) else set()
    return replace(Study(
            uid=f'{ROOT}.{number}',
            patient_id=f'SYN{number // 2:06d}',
            patient_name=name, charset=charset, encoding=encoding,
            birth_date=f'19{number % 80 + 10}0{number % 9 + 1}15',
            sex='FMO'[number % 3],
            date=f'20{number % 20 + 5:02d}1{number % 3}0{number % 9 + 1}',
            description=f'Study {number}',
            accession_number=f'ACC{number:06d}',
            omitted=frozenset(omitted)), **changes)


def _element(group, number, vr, value):
    if isinstance(value, str):
        value = value.encode('ascii')
    if len(value) % 2:
        value += b'\0' if vr in {'UI', 'OB', 'OW'} else b' '
    head = struct.pack('<HH', group, number) + vr.encode()
    if vr in LONG_LENGTH:
        return head + struct.pack('<HI', 0, len(value)) + value
    return head + struct.pack('<H', len(value)) + value


def _short(group, number, value):
    return _element(group, number, 'US', struct.pack('<H', value))


def files(study):
    """Yield the files of a study, bytes each."""
    for series in range(1, study.series + 1):
        begin, middle, end = _parts(study, series)
        for number in range(study.first, study.first + study.instances):
            uid = f'{study.uid}.{series}.{number}'
            meta = (
                _element(2, 1, 'OB', b'\0\1')
                + _element(2, 2, 'UI', CT)
                + _element(2, 3, 'UI', uid)
                + _element(2, 0x10, 'UI', EXPLICIT_LITTLE_ENDIAN)
                + _element(2, 0x12, 'UI', f'{ROOT}.0'))
            yield b''.join([
                    b'\0' * 128, b'DICM',
                    _element(2, 0, 'UL', struct.pack('<I', len(meta))), meta,
                    begin, _element(8, 0x18, 'UI', uid), middle,
                    _element(0x20, 0x13, 'IS', str(number)),
                    _element(0x20, 0x32, 'DS', f'-120\\-120\\{number * 5}'),
                    end])


def _parts(study, series):
    """Return the bytes around what differs between the instances of a
    series: before SOPInstanceUID, up to InstanceNumber, and the rest."""
    def element(group, number, vr, keyword, value):
        if keyword in study.omitted or value is None:
            return b''
        return _element(group, number, vr, value.encode(study.encoding))

    begin = (
        (_element(8, 5, 'CS', study.charset) if study.charset else b'')
        + _element(8, 0x16, 'UI', CT))
    middle = b''.join([
            element(8, 0x20, 'DA', 'StudyDate', study.date),
            element(8, 0x30, 'TM', 'StudyTime', '101530.25'),
            element(8, 0x50, 'SH', 'AccessionNumber', study.accession_number),
            element(8, 0x60, 'CS', 'Modality', study.modality),
            element(8, 0x80, 'LO', 'InstitutionName', 'Example'),
            element(8, 0x90, 'PN', 'ReferringPhysicianName', 'House^G'),
            element(8, 0x1030, 'LO', 'StudyDescription', study.description),
            element(8, 0x103e, 'LO', 'SeriesDescription', f'Series {series}'),
            element(0x10, 0x10, 'PN', 'PatientName', study.patient_name),
            element(0x10, 0x20, 'LO', 'PatientID', study.patient_id),
            element(0x10, 0x30, 'DA', 'PatientBirthDate', study.birth_date),
            element(0x10, 0x40, 'CS', 'PatientSex', study.sex),
            element(0x18, 0x15, 'CS', 'BodyPartExamined', 'HEAD'),
            _element(0x20, 0xd, 'UI', study.uid),
            _element(0x20, 0xe, 'UI', f'{study.uid}.{series}'),
            element(0x20, 0x10, 'SH', 'StudyID', '1'),
            _element(0x20, 0x11, 'IS', str(series)),
            ])
    end = b''.join([
            _short(0x28, 2, 1), _element(0x28, 4, 'CS', 'MONOCHROME2'),
            _short(0x28, 0x10, 2), _short(0x28, 0x11, 2),
            _short(0x28, 0x100, 8), _short(0x28, 0x101, 8),
            _short(0x28, 0x102, 7), _short(0x28, 0x103, 0),
            _element(0x7fe0, 0x10, 'OB', b'\0\x40\x80\xff'),
            ])
    return begin, middle, end


def zips(studies):
    """Yield ZIP files with the files of studies, bytes each."""
    batch = []
    for plan in studies:
        for data in files(plan):
            batch.append(data)
            if len(batch) == FILES_PER_UPLOAD:
                yield _zip(batch)
                batch = []
    if batch:
        yield _zip(batch)


def _zip(batch):
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, 'w', zipfile.ZIP_STORED) as archive:
        for number, data in enumerate(batch):
            archive.writestr(f'{number}.dcm', data)
    return packed.getvalue()


def upload(orthanc, studies, threads=2):
    """Store studies in an Orthanc.

    :param orthanc: a services.Orthanc
    :param studies: Study each
    """
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(
                lambda data: orthanc.rest('POST', '/instances', data),
                zips(studies)))
