# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The errors that health_orthanc raises, one class per cause."""
from trytond.exceptions import UserError, UserWarning
from trytond.model.exceptions import AccessError, ValidationError
from trytond.modules.health_imaging.told import tell


class ServerURLError(ValidationError):
    """The address of a server is not valid."""


class ServerError(UserError):
    """A server cannot be used; the message says why."""


class InTheClearWarning(UserWarning):
    """The connection to the server is not encrypted."""


class PasswordAgainError(AccessError):
    """The password must be typed again for another address."""


class ServerInUseError(AccessError):
    """The server has studies, or is being synchronized."""


class StudyMismatchError(ValidationError):
    """Patient, request and result of a study do not fit together."""


class NoResultError(UserError):
    """The study has no result."""


class NoPictureError(UserError):
    """There is no picture to show."""


class SecretKeyError(UserError):
    """A password cannot be decrypted with the configured keys."""


class NoViewerError(UserError):
    """No viewer shows the study."""


class ViewerURLError(ValidationError):
    """The address of a viewer is not valid."""


class NotAllowedError(AccessError):
    """The user is in none of the groups that may do this."""


class NothingToUndoError(UserError):
    """The link has no former state."""


class SignedLinkError(UserError):
    """The study is in a signed result."""


class LinkDiffersWarning(UserWarning):
    """What the images say of a person differs from the record."""


class UndoLinkWarning(UserWarning):
    """A link is taken back, with all that follows from it."""


class SeveralCandidatesError(UserError):
    """More than one candidate of a study is selected."""


class ForeignPictureError(UserError):
    """The picture is of another patient."""


class UploadError(UserError):
    """A file cannot be uploaded."""


def error_text(error, server):
    """Return the translated sentence for an OrthancError.

    :param str server: the label of the server
    """
    return tell(f'health_orthanc.msg_error_{error.reason}', server=server)
