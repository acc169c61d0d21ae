# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which series a machine acquires as pictures, and which only say something
about pictures. The sets serve SQL, ``is_picture`` is what they mean."""
from pydicom.uid import UID_dictionary

#: Modality (0008,0060, PS3.3 C.7.3.1.1.1) of what no machine acquires.
NOT_PICTURE_MODALITIES = frozenset({
    'ANN', 'ASMT', 'AU', 'CTPROTOCOL', 'DOC', 'FID', 'IOL', 'KO', 'M3D',
    'PLAN', 'PR', 'REG', 'RTDOSE', 'RTINTENT', 'RTPLAN', 'RTRAD', 'RTRECORD',
    'RTSEGANN', 'RTSTRUCT', 'RWV', 'SEG', 'SMR', 'SR', 'STAIN', 'TEXTUREMAP',
    'XAPROTOCOL',
    })
#: Modality of machines whose examination is a waveform.
WAVEFORM_MODALITIES = frozenset({
    'ECG', 'EEG', 'EMG', 'EOG', 'EPS', 'HD', 'POS', 'RESP'})

# What stands in the keywords (PS3.6, A) of storage classes without pictures.
_NO_PICTURE = [
    'Annotation', 'Audio', 'Calculations', 'ColorPalette',
    'ContentAssessment', 'DeliveryInstruction', 'Directory', 'Encapsulated',
    'Fiducials', 'Implant', 'Inventory', 'KeyObject', 'ParametricMap',
    'PresentationState', 'ProcedureLog', 'Protocol', 'Radiation', 'RawData',
    'RealWorldValue', 'Registration', 'Report', 'RT', 'SR', 'Segmentation',
    'Standalone', 'Stereometric', 'StoredPrint', 'StructuredDisplay',
    'Tractography', 'VolumeAnalysis']


def _storage_classes():
    """Return UIDs and keywords of the storage classes that are not those of
    images, dict."""
    return {
        uid: keyword
        for uid, (name, kind, _, _, keyword) in UID_dictionary.items()
        if kind == 'SOP Class' and 'Storage' in keyword
        and 'Image' not in keyword}


#: SOP Class UID (0008,0016) of what is no picture, whatever its modality.
NOT_PICTURE_SOP_CLASSES = frozenset(
    uid for uid, keyword in _storage_classes().items()
    if any(word in keyword for word in _NO_PICTURE))
#: SOP Class UID of waveforms, which other machines store beside pictures.
WAVEFORM_SOP_CLASSES = frozenset(
    uid for uid, keyword in _storage_classes().items()
    if 'Waveform' in keyword) - NOT_PICTURE_SOP_CLASSES


def is_picture(modality, sop_class_uid):
    """Return whether a series is one that a machine acquires.

    Spectra, measurements of eyes, secondary captures, OT and what is not
    known count, waveforms only from machines for them.

    :param modality: Modality (0008,0060), None when unknown
    :param sop_class_uid: SOP Class UID (0008,0016), None when unknown
    """
    modality = (modality or '').strip().upper()
    if (modality in NOT_PICTURE_MODALITIES
            or sop_class_uid in NOT_PICTURE_SOP_CLASSES):
        return False
    return (sop_class_uid not in WAVEFORM_SOP_CLASSES
        or modality in WAVEFORM_MODALITIES)
