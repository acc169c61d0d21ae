# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Small images for many studies: the real ones of pydicom-data with fewer
pixels, as ZIP files that Orthanc takes at once.
"""
import copy
import functools
import io
import zipfile

import pydicom
from modality import IMAGES, image_path
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

# How many pixels an image has at the most, each way.
SIZE = 200
_KEPT = [
    'SOPClassUID', 'SamplesPerPixel', 'PhotometricInterpretation',
    'PlanarConfiguration', 'BitsAllocated', 'BitsStored', 'HighBit',
    'PixelRepresentation', 'WindowCenter', 'WindowWidth', 'RescaleIntercept',
    'RescaleSlope', 'RescaleType', 'PatientOrientation']


@functools.lru_cache(maxsize=None)
def _small(name):
    """Return what is kept of a real image, with fewer pixels."""
    image = pydicom.dcmread(image_path(name))
    small = pydicom.Dataset()
    for keyword in _KEPT:
        if keyword in image:
            setattr(small, keyword, image[keyword].value)
    step = -(-max(image.Rows, image.Columns) // SIZE)
    pixel = image.SamplesPerPixel * image.BitsAllocated // 8
    line = image.Columns * pixel
    data = bytes(image.PixelData)
    rows = [
        b''.join(
            data[at:at + pixel]
            for at in range(begin, begin + line, step * pixel))
        for begin in range(0, image.Rows * line, step * line)]
    small.Rows, small.Columns = len(rows), len(rows[0]) // pixel
    small.PixelData = b''.join(rows)
    small['PixelData'].VR = 'OW' if image.BitsAllocated > 8 else 'OB'
    return small


def study_files(values, series, count):
    """Yield the files of a study, bytes each.

    :param dict values: what its images say, by DICOM keyword
    :param series: descriptions of its series
    :param int count: how many images each of them has
    """
    name = IMAGES.get(values['Modality'], IMAGES['CR'])
    if values['Modality'] == 'PT':
        name = IMAGES['CT']
    for number, description in enumerate(series, 1):
        image = copy.deepcopy(_small(name))
        image.SpecificCharacterSet = 'ISO_IR 192'
        for keyword, value in values.items():
            setattr(image, keyword, value)
        image.SeriesInstanceUID = generate_uid()
        image.SeriesNumber = number
        image.SeriesDescription = description
        for place in range(1, count + 1):
            image.InstanceNumber = place
            image.SOPInstanceUID = generate_uid()
            yield _file(image)


def _file(image):
    """Return an image as a DICOM file."""
    file = io.BytesIO()
    meta = pydicom.dataset.FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = image.SOPClassUID
    meta.MediaStorageSOPInstanceUID = image.SOPInstanceUID
    image.file_meta = meta
    pydicom.dcmwrite(file, image, enforce_file_format=True)
    return file.getvalue()


def upload(orthanc, files):
    """Store files in an Orthanc, in one request.

    :param orthanc: a running services.Orthanc
    :param files: bytes each
    """
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, 'w', zipfile.ZIP_STORED) as archive:
        for number, data in enumerate(files):
            archive.writestr(f'{number}.dcm', data)
    orthanc.rest('POST', '/instances', packed.getvalue())
