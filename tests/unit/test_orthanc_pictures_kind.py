# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"Which series count as pictures that a machine has acquired."
import pydicom.uid
import pytest
from pydicom.uid import UID_dictionary

from trytond.modules.health_orthanc.archive import pictures_kind
from trytond.modules.health_orthanc.archive.pictures_kind import is_picture

# Storage classes without "Image" in their name of what machines acquire.
ACQUIRED = {
    'AutorefractionMeasurementsStorage', 'CornealTopographyMapStorage',
    'DICOS2DAITStorage', 'DICOS3DAITStorage',
    'DICOSQuadrupoleResonanceStorage', 'EnhancedUSVolumeStorage',
    'KeratometryMeasurementsStorage', 'LensometryMeasurementsStorage',
    'MRSpectroscopyStorage', 'OphthalmicAxialMeasurementsStorage',
    'OphthalmicThicknessMapStorage',
    'OphthalmicVisualFieldStaticPerimetryMeasurementsStorage',
    'SubjectiveRefractionMeasurementsStorage', 'SurfaceScanMeshStorage',
    'SurfaceScanPointCloudStorage', 'VisualAcuityMeasurementsStorage',
    }


def uid(keyword):
    return str(getattr(pydicom.uid, keyword))


@pytest.mark.parametrize('modality', [
        'SR', 'KO', 'PR', 'AU', 'DOC', 'PLAN', 'REG', 'SEG', 'FID', 'RTDOSE',
        'RTPLAN', 'RTRECORD', 'RTSTRUCT', 'SMR', ' sr '])
def test_modalities_that_acquire_nothing(modality):
    assert not is_picture(modality, None)
    assert not is_picture(modality, uid('CTImageStorage'))


@pytest.mark.parametrize('keyword', [
        'RawDataStorage', 'EncapsulatedPDFStorage', 'EncapsulatedCDAStorage',
        'EncapsulatedSTLStorage', 'ComprehensiveSRStorage',
        'XRayRadiationDoseSRStorage', 'KeyObjectSelectionDocumentStorage',
        'GrayscaleSoftcopyPresentationStateStorage', 'SegmentationStorage',
        'RTDoseStorage', 'BasicVoiceAudioWaveformStorage'])
@pytest.mark.parametrize('modality', ['CT', 'MR', 'OT', 'ECG', None])
def test_classes_that_are_no_pictures(modality, keyword):
    assert not is_picture(modality, uid(keyword))


@pytest.mark.parametrize('modality, keyword', [
        ('CT', 'CTImageStorage'), ('US', 'UltrasoundMultiFrameImageStorage'),
        ('OT', 'SecondaryCaptureImageStorage'),
        ('SC', 'SecondaryCaptureImageStorage'),
        ('RTIMAGE', 'RTImageStorage'), ('MR', 'MRSpectroscopyStorage'),
        ('KER', 'KeratometryMeasurementsStorage'), ('', 'CTImageStorage')])
def test_pictures(modality, keyword):
    assert is_picture(modality, uid(keyword))


@pytest.mark.parametrize('sop_class', [None, '', '1.3.12.2.1107.5.9.1', 'x'])
@pytest.mark.parametrize('modality', ['CT', 'OT', '', None])
def test_unknown_classes_count(modality, sop_class):
    assert is_picture(modality, sop_class)


def test_waveforms_count_for_their_machines():
    ecg = uid('TwelveLeadECGWaveformStorage')
    assert is_picture('ECG', ecg)
    assert is_picture('HD', uid('HemodynamicWaveformStorage'))
    assert not is_picture('CT', ecg)
    assert not is_picture('US', ecg)


def test_every_storage_class_is_of_one_kind():
    "A class that a newer pydicom knows must be thought of."
    counted = {
        keyword
        for uid, (_, kind, _, _, keyword) in UID_dictionary.items()
        if kind == 'SOP Class' and 'Storage' in keyword
        and 'Commitment' not in keyword and 'Image' not in keyword
        and uid not in pictures_kind.NOT_PICTURE_SOP_CLASSES
        and uid not in pictures_kind.WAVEFORM_SOP_CLASSES}
    assert counted == ACQUIRED
    assert all(
        is_picture('CT', uid) for uid, (name, *_) in UID_dictionary.items()
        if 'Image Storage' in name)
