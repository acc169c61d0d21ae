# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The errors that health_imaging_worklist raises, one class per cause."""
from trytond.exceptions import UserError, UserWarning
from trytond.model.exceptions import AccessError, ValidationError


class WorklistTemplateError(ValidationError):
    pass


class CharsetError(ValidationError):
    pass


class ApplicationEntityError(ValidationError):
    pass


class MergeIDError(AccessError):
    pass


class WorklistEntryError(UserError):
    pass


class OrderNumberError(ValidationError):
    pass


class RomanizedNameWarning(UserWarning):
    pass
