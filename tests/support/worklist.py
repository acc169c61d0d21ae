# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Worklist files, read as a modality reads them."""
import io

import pydicom

from trytond.modules.health_imaging_worklist.dataset import SOP_CLASS_UID


def read_back(data):
    """Return the pydicom Dataset of the bytes of a worklist file, every value
    decoded."""
    entry = pydicom.dcmread(io.BytesIO(data))
    for element in entry.iterall():
        str(element.value)
    assert entry.file_meta.MediaStorageSOPClassUID == SOP_CLASS_UID
    return entry
