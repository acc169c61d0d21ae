# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The errors that health_imaging raises, one class per cause."""
from trytond.exceptions import UserError, UserWarning
from trytond.model.exceptions import AccessError, ValidationError


class ArgumentsError(UserError):
    """An RPC call has wrong arguments."""


class SearchTooLongError(UserError):
    """A search has too many words or characters."""


class InvalidModalityWarning(UserWarning):
    """The code of an exam type is not a DICOM modality."""


class MissingSequenceError(UserError):
    """No sequence of orders or results is configured."""


class InactiveExamError(ValidationError):
    """The exam is not active."""


class OrderIncompleteError(UserError):
    """A required value of the order is missing."""


class NothingSelectedError(UserError):
    """A wizard was started without records."""


class NoReportError(UserError):
    """An exam has no report to print."""


class StrangeInputError(UserError):
    """A client sent values that the wizard or report does not ask for."""


class ReasonMissingError(UserError):
    """No reason is given."""


class NotDraftError(AccessError):
    """The request is no draft."""


class StateError(AccessError):
    """The workflow does not allow this change of state."""


class KeptValueError(AccessError):
    """The value is written by the system only."""


class PatientMergedError(ValidationError):
    """The patient was merged into another one."""


class OrderPatientError(ValidationError):
    """The requests of an order are for more than one patient."""


class ResultExistsError(UserError):
    """The request already has a result."""


class RequestNotReadyError(UserError):
    """No result can be made for the request in its present state."""


class ResultMismatchError(ValidationError):
    """Patient or exam of the result are not those of its request."""


class FinalResultError(AccessError):
    """The result is signed."""


class ResultNotFinalError(UserError):
    """The result is not signed."""


class NotAmenderError(AccessError):
    """Somebody else signed the result."""


class KeptReportError(AccessError):
    """The file is a report of a former revision."""


class ReportChangedError(UserError):
    """Somebody changed the result since the user read it."""


class InterpretationMissingError(UserError):
    """The result has neither findings nor impression."""


class NoHealthProfessionalError(UserError):
    """The user is not linked to a health professional."""


class OfficeError(UserError):
    """LibreOffice cannot make the report."""


class PictureError(UserError):
    """A picture cannot be opened now."""


class ResultNotEmptyError(AccessError):
    """The result has a text, pictures or a former revision."""


class ClaimedWarning(UserWarning):
    """Another user writes the report of the request."""


class NoImagesWarning(UserWarning):
    """No images of the request have arrived."""


class SignWarning(UserWarning):
    """The user is asked before a result is signed."""


class ReleaseError(AccessError):
    """The result cannot be released."""


class QuestionMissingError(UserError):
    """An exam is ordered without a clinical question."""


class DeceasedError(UserError):
    """An exam is ordered for a patient who is dead."""


class SafetyWarning(UserWarning):
    """The user is asked about what may harm the patient."""


class PickListError(ValidationError):
    """The brackets of a text do not match, or a pick list is empty."""


class PickOpenError(UserError):
    """A pick list of the report is not resolved."""


class PicksChangedError(UserError):
    """The text was changed while its pick lists were resolved."""


class NotNumberError(UserError):
    """A pick list asks for a number."""


class ReportTextEmptyError(ValidationError):
    """A prepared text has no text."""


class MacroCodeError(ValidationError):
    """The code of a macro is no dot and word."""


class MacroExistsError(ValidationError):
    """The user has another macro with the code."""


class MrrtError(UserError):
    """A file is no template that can be imported."""


class SameReaderError(UserError):
    """The second reader was the first one."""


class SideWordError(ValidationError):
    """A word for a side is no word."""


class LedgerError(AccessError):
    """The record is written by the system only."""


class CriticalFindingError(UserError):
    """A critical finding cannot be reported or acknowledged like this."""


class CriticalResultError(AccessError):
    """The result has a critical finding."""
