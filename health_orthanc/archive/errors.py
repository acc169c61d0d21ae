# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What can go wrong between this program and an Orthanc server."""
import re


class OrthancError(Exception):
    """The Orthanc server did not do what it was asked for.

    The first line of the docstring is its text, which is safe to log: neither
    a password nor what a server wrote is in it.

    :ivar reason: a stable code for the message catalogue, by default the name
        of the class in lower case
    :ivar status: the HTTP status of the answer, or None
    :ivar call: the method and path of the request, or ''
    :ivar details: what the server wrote about it, cleaned and short, or ''.
        It may hold data of a patient: for a screen, not for a log.
    :ivar own: whether the refusal has the form of Orthanc's own
    """
    reason = 'orthanc_error'

    def __init_subclass__(cls):
        if 'reason' not in vars(cls):
            cls.reason = re.sub(
                '(?<=[a-z])(?=[A-Z])', '_', cls.__name__).lower()

    def __init__(
            self, text=None, *, call='', status=None, details='', own=False):
        # Nothing is left of docstrings under python -OO.
        super().__init__(
            text or (self.__doc__ or self.reason).partition('\n')[0])
        self.call = call
        self.status = status
        self.details = details
        self.own = own

    def __str__(self):
        text = self.args[0]
        if self.status:
            text += f" (HTTP status {self.status})"
        return f"{self.call}: {text}" if self.call else text


class InvalidURL(OrthancError):
    """This is not the address of a web server.

    :ivar problem: empty, scheme, credentials, blank, characters, query, host,
        port, path or length
    """

    def __init__(self, problem='host', **kwargs):
        super().__init__(
            f"This is not the address of a web server: {problem}.", **kwargs)
        self.problem = problem


class HostNotFound(OrthancError):
    "There is no computer of this name."


class Unreachable(OrthancError):
    "There is no way through the network to this computer."


class ConnectionRefused(OrthancError):
    "The computer is there, but no program listens on this port."


class ConnectionLost(OrthancError):
    "The connection broke before the answer was complete."


class Timeout(OrthancError):
    "The server took too long."


class ConnectTimeout(Timeout):
    "The computer did not accept a connection in time."


class ReadTimeout(Timeout):
    "The server was silent for too long."


class TooSlow(Timeout):
    "The answer was not complete in time."


class TLSError(OrthancError):
    "The encrypted connection could not be made or is not trusted."
    reason = 'tls_error'


class NotEncrypted(TLSError):
    "What answers does not encrypt: it speaks HTTP, not HTTPS."


class Unauthorized(OrthancError):
    "The server does not accept the user and password."


class Forbidden(OrthancError):
    "The server does not allow this user to do that."


class NotFound(OrthancError):
    "The server does not have this."


class MethodNotAllowed(OrthancError):
    "The server does not offer this call."


class Conflict(OrthancError):
    "The server cannot do this in its present state."


class BadRequest(OrthancError):
    "The server did not understand the request."


class UnsupportedMedia(OrthancError):
    "The server cannot handle this kind of data."


class NoPicture(UnsupportedMedia):
    "The server cannot make a picture of this instance."


class NoFrame(NoPicture):
    "The instance has no such frame."


class UploadTooLarge(OrthancError):
    "The server, or what stands before it, takes no data this large."


class ServerError(OrthancError):
    "The server reports an error of its own."


class StorageFull(ServerError):
    "The server has no room left."


class BadAnswer(OrthancError):
    "The answer is not what an Orthanc server would say."


class NotOrthanc(BadAnswer):
    "Something answers at this address, but it is no Orthanc server."


class DangerousFile(OrthancError):
    "Reading this file could end or stall the server."


class AnswerTooLarge(OrthancError):
    "The answer is larger than allowed."


class Redirected(OrthancError):
    "The server sends its callers elsewhere, which is not followed."


#: The error for an HTTP status.
BY_STATUS = {
    400: BadRequest,
    401: Unauthorized,
    403: Forbidden,
    404: NotFound,
    405: MethodNotAllowed,
    408: ServerError,
    409: Conflict,
    413: UploadTooLarge,
    415: UnsupportedMedia,
    429: ServerError,
    501: MethodNotAllowed,
    507: StorageFull,
    }
