# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The errors that health_imaging raises, one class per cause."""
from trytond.exceptions import UserError, UserWarning
from trytond.model.exceptions import AccessError, ValidationError


class ArgumentsError(UserError):
    pass


class SearchTooLongError(UserError):
    pass


class InvalidModalityWarning(UserWarning):
    pass


class MissingSequenceError(UserError):
    pass


class InactiveExamError(ValidationError):
    pass


class OrderIncompleteError(UserError):
    pass


class NothingSelectedError(UserError):
    pass


class StrangeInputError(UserError):
    pass


class ReasonMissingError(UserError):
    pass


class NotDraftError(AccessError):
    pass


class StateError(AccessError):
    pass


class KeptValueError(AccessError):
    pass


class OrderPatientError(ValidationError):
    pass


class ResultExistsError(UserError):
    pass


class RequestNotReadyError(UserError):
    pass


class ResultMismatchError(ValidationError):
    pass


class FinalResultError(AccessError):
    pass


class ResultNotFinalError(UserError):
    pass


class KeptReportError(AccessError):
    pass


class InterpretationMissingError(UserError):
    pass


class NoHealthProfessionalError(UserError):
    pass


class OfficeError(UserError):
    pass


class PictureError(UserError):
    pass


class ResultNotEmptyError(AccessError):
    pass
