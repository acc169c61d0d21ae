# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What can go wrong between this program and an Orthanc server, one class for
each thing that a person would do something else about.
"""


class OrthancError(Exception):
    """Something went wrong between this program and an Orthanc server.

    Its text is safe to log: neither a password nor what a server wrote is in
    it.

    :ivar reason: a stable code for the message catalogue
    :ivar status: the HTTP status of the answer, None when there was none
    :ivar call: the method and path of the request, '' when there was none
    :ivar details: what the server wrote about it, cleaned and short, '' when
        nothing. It may hold data of a patient: for a screen, not for a log.
    :ivar own: whether the refusal has the form of Orthanc's own
    """
    reason = 'orthanc_error'
    text = "The Orthanc server did not do what it was asked for."

    def __init__(
            self, text=None, *, call='', status=None, details='', own=False):
        super().__init__(text or self.text)
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
    """The address is none that a server can be asked under.

    :ivar problem: what is wrong with it: empty, scheme, credentials, blank,
        characters, query, host, port, path or length
    """
    reason = 'invalid_url'
    text = "This is not the address of a web server."

    def __init__(self, text=None, *, problem='host', **kwargs):
        super().__init__(text, **kwargs)
        self.problem = problem


class HostNotFound(OrthancError):
    """The name of the server cannot be resolved."""
    reason = 'host_not_found'
    text = "There is no computer of this name."


class Unreachable(OrthancError):
    """No route leads to the server."""
    reason = 'unreachable'
    text = "There is no way through the network to this computer."


class ConnectionRefused(OrthancError):
    """No program listens on the port."""
    reason = 'connection_refused'
    text = "The computer is there, but no program listens on this port."


class ConnectionLost(OrthancError):
    """The connection ended before the answer was complete."""
    reason = 'connection_lost'
    text = "The connection broke before the answer was complete."


class Timeout(OrthancError):
    """Base of what took too long."""
    reason = 'timeout'
    text = "The server took too long."


class ConnectTimeout(Timeout):
    """No connection within the connect timeout."""
    reason = 'connect_timeout'
    text = "The computer did not accept a connection in time."


class ReadTimeout(Timeout):
    """No byte within the read timeout."""
    reason = 'read_timeout'
    text = "The server was silent for too long."


class TooSlow(Timeout):
    """The whole answer took longer than the total timeout."""
    reason = 'too_slow'
    text = "The answer was not complete in time."


class TLSError(OrthancError):
    """The TLS handshake or the check of the certificate failed."""
    reason = 'tls_error'
    text = "The encrypted connection could not be made or is not trusted."


class NotEncrypted(TLSError):
    """The server answers HTTP on a port asked for HTTPS."""
    reason = 'not_encrypted'
    text = "What answers does not encrypt: it speaks HTTP, not HTTPS."


class Unauthorized(OrthancError):
    """HTTP 401."""
    reason = 'unauthorized'
    text = "The server does not accept the user and password."


class Forbidden(OrthancError):
    """HTTP 403."""
    reason = 'forbidden'
    text = "The server does not allow this user to do that."


class NotFound(OrthancError):
    """HTTP 404."""
    reason = 'not_found'
    text = "The server does not have this."


class MethodNotAllowed(OrthancError):
    """HTTP 405 or 501."""
    reason = 'method_not_allowed'
    text = "The server does not offer this call."


class Conflict(OrthancError):
    """HTTP 409."""
    reason = 'conflict'
    text = "The server cannot do this in its present state."


class BadRequest(OrthancError):
    """HTTP 400."""
    reason = 'bad_request'
    text = "The server did not understand the request."


class UnsupportedMedia(OrthancError):
    """HTTP 415."""
    reason = 'unsupported_media'
    text = "The server cannot handle this kind of data."


class NoPicture(UnsupportedMedia):
    """HTTP 415 to a request for a preview."""
    reason = 'no_picture'
    text = "The server cannot make a picture of this instance."


class NoFrame(NoPicture):
    """The number of the frame is larger than NumberOfFrames (0028,0008)."""
    reason = 'no_frame'
    text = "The instance has no such frame."


class UploadTooLarge(OrthancError):
    """HTTP 413."""
    reason = 'upload_too_large'
    text = "The server, or what stands before it, takes no data this large."


class ServerError(OrthancError):
    """HTTP 5xx, 408 or 429."""
    reason = 'server_error'
    text = "The server reports an error of its own."


class StorageFull(ServerError):
    """HTTP 507."""
    reason = 'storage_full'
    text = "The server has no room left."


class BadAnswer(OrthancError):
    """The answer has not the form that the REST API documents."""
    reason = 'bad_answer'
    text = "The answer is not what an Orthanc server would say."


class NotOrthanc(BadAnswer):
    """The first answer is not that of an Orthanc."""
    reason = 'not_orthanc'
    text = "Something answers at this address, but it is no Orthanc server."


class DangerousFile(OrthancError):
    """The structure of the file exceeds the limits of ``structure``."""
    reason = 'dangerous_file'
    text = "Reading this file could end or stall the server."


class AnswerTooLarge(OrthancError):
    """The answer exceeds the limit of its call."""
    reason = 'answer_too_large'
    text = "The answer is larger than allowed."


class Redirected(OrthancError):
    """HTTP 3xx."""
    reason = 'redirected'
    text = "The server sends its callers elsewhere, which is not followed."


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
