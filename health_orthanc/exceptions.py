# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The errors that health_orthanc raises, one class per cause, and the
sentences for what goes wrong with an Orthanc."""
from trytond.exceptions import UserError, UserWarning
from trytond.i18n import gettext
from trytond.model.exceptions import AccessError, ValidationError


class ServerURLError(ValidationError):
    pass


class ServerError(UserError):
    pass


class InTheClearWarning(UserWarning):
    pass


class PasswordAgainError(AccessError):
    pass


class ServerInUseError(AccessError):
    pass


class StudyMismatchError(ValidationError):
    pass


class NoResultError(UserError):
    pass


class NoPictureError(UserError):
    pass


class SecretKeyError(UserError):
    pass


class NoViewerError(UserError):
    pass


class LedgerError(AccessError):
    pass


class NotAllowedError(AccessError):
    pass


class NothingToUndoError(UserError):
    pass


class SeveralCandidatesError(UserError):
    pass


class ForeignPictureError(UserError):
    pass


class UploadError(UserError):
    pass


def error_text(error, server):
    """Return the translated sentence for an error, for a person to read.

    :param error: OrthancError
    :param str server: the label of the server
    """
    return gettext(f'health_orthanc.msg_error_{error.reason}', server=server)
