# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The errors that health_imaging_worklist raises, one class per cause."""
from trytond.exceptions import UserError, UserWarning
from trytond.model.exceptions import AccessError, ValidationError


class WorklistTemplateError(ValidationError):
    """A worklist template makes no correct entry."""


class CharsetError(ValidationError):
    """The character set is not a DICOM term."""


class ApplicationEntityError(ValidationError):
    """The AE title is not valid."""


class MergeIDError(AccessError):
    """The Study Instance UID is used, fixed, or cannot be made."""


class WorklistEntryError(UserError):
    """The worklist entry of a request cannot be made."""


class OrderNumberError(ValidationError):
    """The order sequence makes numbers that modalities cannot read."""


class RomanizedNameWarning(UserWarning):
    """The modality shows the patient's name in other letters."""


class StepPatientWarning(UserWarning):
    """A machine examined somebody else than the patient of the request."""


class RequestMissingError(UserError):
    """No request was chosen."""
