# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""HTTP for the Orthanc client, on requests: bounded time and size, repetition
where it is safe, and typed errors that carry no secret.
"""
import base64
import errno
import http.client
import io
import ipaddress
import json
import logging
import re
import socket
import ssl
import sys
import time
import zlib
from contextlib import contextmanager
from http.cookiejar import DefaultCookiePolicy
from typing import NamedTuple
from urllib.parse import quote, unquote, urlsplit

import requests
import urllib3
from requests.adapters import HTTPAdapter
from requests.auth import HTTPBasicAuth
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from .client_errors import (
    BY_STATUS, AnswerTooLarge, BadAnswer, ConnectionLost, ConnectionRefused,
    ConnectTimeout, HostNotFound, InvalidURL, NotEncrypted, OrthancError,
    ReadTimeout, Redirected, ServerError, TLSError, TooSlow, Unreachable)

logger = logging.getLogger(__name__)

CONNECT_TIMEOUT = 5
READ_TIMEOUT = 60
UPLOAD_TIMEOUT = 300
TOTAL_TIMEOUT = 300

MAX_BYTES = 256 * 2 ** 20
MAX_ERROR_BYTES = 2 ** 16
CHUNK = 2 ** 16

ATTEMPTS = 3
BACKOFF = 0.2

_HOST = re.compile(r'[a-z0-9_]([a-z0-9_.-]*[a-z0-9_])?\Z')
_FAILURES = (
    requests.RequestException, urllib3.exceptions.HTTPError,
    http.client.HTTPException, OSError, ValueError, zlib.error)
_NO_WAY = {
    errno.EADDRNOTAVAIL, errno.EHOSTDOWN, errno.EHOSTUNREACH, errno.ENETDOWN,
    errno.ENETUNREACH,
    }


def normalize_url(text):
    """Return the address of a server in the one form it is stored in.

    ``http://`` is supplied when no scheme is given, scheme and host become
    lower case (an international name its ASCII form), the default port and
    slashes at the end go, a path prefix stays.

    :param text: what a person typed, str
    :raises InvalidURL: for anything that is not the plain address of a web
        server; its text never repeats the address
    """
    scheme, rest = _split_scheme(_plain_text(text))
    netloc, slash, path = rest.partition('/')
    if '@' in netloc:
        raise InvalidURL(
            "A user and password do not belong into the address.",
            problem='credentials')
    host, port = _split_port(netloc)
    host = _normal_host(host)
    if port and port != {'http': 80, 'https': 443}[scheme]:
        host += f':{port}'
    return f'{scheme}://{host}{_normal_path(slash + path)}'


def _plain_text(text):
    text = text.strip(' \t\r\n') if isinstance(text, str) else ''
    if not text:
        raise InvalidURL("The address is empty.", problem='empty')
    if len(text) > 2000:
        raise InvalidURL("The address is too long.", problem='length')
    if any(c.isspace() for c in text):
        raise InvalidURL("The address has a blank in it.", problem='blank')
    if any(not c.isprintable() or c in '\\<>"{}|^`' for c in text):
        raise InvalidURL(
            "The address has characters that do not belong there.",
            problem='characters')
    if '?' in text or '#' in text:
        raise InvalidURL(
            "The address must end before the question mark or number sign.",
            problem='query')
    return text


def _split_scheme(text):
    scheme, separator, rest = text.partition('://')
    if not separator:
        scheme, rest = 'http', text.lstrip('/')
        if re.match(r'https?:', text, re.I):
            raise InvalidURL(
                "The address has no host.", problem='host')
    scheme = scheme.lower()
    if scheme not in {'http', 'https'}:
        raise InvalidURL(
            "The address must begin with http:// or https://.",
            problem='scheme')
    return scheme, rest


def _split_port(netloc):
    "Return the host, and the port or None."
    match = re.match(r'(.*?)(?::([0-9]{0,5}))?\Z', netloc)
    host, port = match.group(1), int(match.group(2) or 0)
    if match.group(2) and not 0 < port < 2 ** 16:
        raise InvalidURL("The port of the address is wrong.", problem='port')
    return host, port or None


def _normal_host(host):
    if host.startswith('[') and host.endswith(']'):
        try:
            return f'[{ipaddress.IPv6Address(host[1:-1])}]'
        except ValueError:
            pass
    host = host[:-1] if host.endswith('.') else host
    try:
        host = host.encode('idna').decode('ascii').lower()
    except UnicodeError:
        host = ''
    if not _HOST.match(host):
        raise InvalidURL("The host of the address is wrong.", problem='host')
    return host


def _normal_path(path):
    path = quote(path.rstrip('/'), safe="/%:@!$&'()*+,;=-._~")
    if {'.', '..'} & set(unquote(path).split('/')):
        raise InvalidURL("The path of the address is wrong.", problem='path')
    return path


class _Clock:
    "How long one may still wait: for the next bytes, and for everything."

    def __init__(self):
        self.deadline = self.silence = None
        # The socket that is waited for, and whether to wait no longer
        self.sock, self.stopped = None, False

    @property
    def runs(self):
        return self.deadline is not None

    def left(self):
        "The seconds until the end, never below zero."
        if self.stopped:
            return 0
        return max(self.deadline - time.monotonic(), 0)

    def stop(self):
        "End all waiting, whichever thread waits."
        self.stopped = True
        try:
            # Not the method of a TLS socket, which is not made for threads.
            socket.socket.shutdown(self.sock, socket.SHUT_RDWR)
        except (OSError, TypeError):
            # Nobody waits.
            pass

    def patience(self):
        "The seconds to wait for the next bytes, socket.timeout at the end."
        left = self.left()
        if not left:
            raise socket.timeout("too slow")
        return min(self.silence, left)

    @contextmanager
    def running(self, seconds, silence):
        "Run for some seconds; a clock that runs already goes on instead."
        if self.runs:
            yield
            return
        self.deadline, self.silence = time.monotonic() + seconds, silence
        try:
            yield
        finally:
            self.deadline = self.silence = None


class _TimedReader(io.RawIOBase):
    """What a socket receives, bounded by a clock.

    The timeout of a socket starts anew with each byte: a server that drips
    would never meet it.
    """

    def __init__(self, raw, sock, clock):
        self._raw = raw
        self._sock = sock
        self._clock = clock

    def readable(self):
        return True

    def readinto(self, buffer):
        self._sock.settimeout(self._clock.patience())
        return self._raw.readinto(buffer)

    def close(self):
        if not self.closed:
            self._raw.close()
        super().close()


class _TimedConnection:
    "Mixin for the connections of urllib3: all they send and receive is timed."
    clock = None

    def send(self, data):
        if self.sock is None:
            self.connect()
        self.clock.sock = self.sock
        self.sock.settimeout(self.clock.patience())
        super().send(data)

    def response_class(self, sock, *args, **kwargs):
        response = http.client.HTTPResponse(sock, *args, **kwargs)
        response.fp = io.BufferedReader(
            _TimedReader(response.fp.detach(), sock, self.clock))
        return response


class _TimedAdapter(HTTPAdapter):
    "An adapter of requests without retries of its own, timed by a clock."

    def __init__(self, clock):
        self._clock = clock
        super().__init__(pool_connections=1, pool_maxsize=1, max_retries=0)

    def init_poolmanager(self, *args, **kwargs):
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = {
            'http': self._pool(HTTPConnectionPool, HTTPConnection),
            'https': self._pool(HTTPSConnectionPool, HTTPSConnection),
            }

    def _pool(self, pool, connection):
        connection = type(
            'TimedConnection', (_TimedConnection, connection),
            {'clock': self._clock})
        return type('TimedPool', (pool,), {'ConnectionCls': connection})


class _StraightSession(requests.Session):
    """A session without redirects.

    With allow_redirects=False alone requests still reads the whole body of a
    redirect, whatever its size, and parses where it leads.
    """

    def get_redirect_target(self, resp):
        return None


class Answer(NamedTuple):
    "A complete HTTP answer, unpacked."
    status: int
    headers: dict
    body: bytes

    def __repr__(self):
        # A traceback may show it, and a body holds data of patients.
        return f'<Answer {self.status}, {len(self.body)} bytes>'

    def json(self):
        "The parsed body, ValueError when it is no JSON."
        text = self.body.decode('utf-8', 'replace').lstrip('\ufeff')
        try:
            return json.loads(text, strict=False)
        except RecursionError:
            pass
        raise ValueError("nested too deeply")

    def details(self):
        "What Orthanc's own JSON says about an error, '' when there is none."
        try:
            value = self.json()
        except ValueError:
            return ''
        if not isinstance(value, dict):
            return ''
        texts = [value.get('Message'), value.get('Details')]
        return ": ".join(t for t in texts if t and isinstance(t, str))


class Session:
    """One server, spoken to over one connection by one thread.

    Redirects are not followed, proxies and credentials of the environment are
    not used.  Only the look-up of the host name is timed by the system alone.

    :param url: the address, see normalize_url
    :param user: the login, None when the server wants none
    :param password: its password
    :param verify: True checks the certificate against the certificates that
        requests trusts, a path against that file, False not at all
    :param connect_timeout: seconds for making a connection
    :param read_timeout: the longest silence while an answer is read, seconds
    :param upload_timeout: the longest silence during an upload, seconds
    :param total_timeout: seconds for one answer in all, repetitions included
    :param max_bytes: the largest answer, unpacked
    :ivar calls: how many HTTP requests were sent
    :raises InvalidURL: url is none
    """
    url = None

    def __init__(
            self, url, user=None, password=None, *, verify=True,
            connect_timeout=CONNECT_TIMEOUT, read_timeout=READ_TIMEOUT,
            upload_timeout=UPLOAD_TIMEOUT, total_timeout=TOTAL_TIMEOUT,
            max_bytes=MAX_BYTES):
        auth, self._secrets = _credentials(user, password)
        # A traceback may show local variables.
        del user, password
        self.url = normalize_url(url)
        self.connect_timeout = connect_timeout
        self.read_timeout = read_timeout
        self.upload_timeout = upload_timeout
        self.total_timeout = total_timeout
        self.max_bytes = max_bytes
        self.calls = 0
        self._clock = _Clock()
        self._session = self._new_session(auth, verify)

    def _new_session(self, auth, verify):
        session = _StraightSession()
        session.trust_env = False
        session.auth = auth
        # Only False itself: requests takes an empty path for it.
        session.verify = verify or verify is not False
        session.headers['User-Agent'] = 'gnuhealth-orthanc'
        session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        self._adapter = _TimedAdapter(self._clock)
        for scheme in ['http://', 'https://']:
            session.mount(scheme, self._adapter)
        return session

    def __repr__(self):
        return f'<{type(self).__name__} {self.url}>'

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.close()

    def close(self):
        "Close the connection; a later call opens another one."
        self._session.close()

    def abort(self):
        """Let the request that another thread makes fail, and all later ones.

        Only the making of a connection is waited for.
        """
        self._clock.stop()

    def request(self, method, path, body=None, headers=None, repeat=True,
            max_bytes=None):
        """Send a request and return its answer when the status is 200.

        :param body: bytes or a binary file
        :param repeat: whether it may be sent again when the connection broke
        """
        if not repeat:
            # A connection that stood idle may be dead without being known.
            self._adapter.poolmanager.clear()
        call = f'{method} {path}'
        limit = self.max_bytes if max_bytes is None else max_bytes
        with self._clock.running(self.total_timeout, self.read_timeout):
            for attempt in range(ATTEMPTS if repeat else 1):
                self._pause(attempt)
                answer, error = self._attempt(
                    method, path, body, headers, limit)
                if not isinstance(error, ConnectionLost):
                    break
        error = error or self._refusal(answer)
        if error:
            error.call = call
            raise error
        return answer

    def _pause(self, attempt):
        if attempt:
            time.sleep(min(BACKOFF * attempt, self._clock.left()))

    def _attempt(self, method, path, body, headers, limit):
        """Return an answer and None, or None and an error.

        Errors of the libraries carry the request with the password: they end
        here, and what is raised later has no context.
        """
        self.calls += 1
        handled = sys.exc_info()[1]
        try:
            return self._send(method, path, body, headers, limit), None
        except OrthancError as exception:
            error = exception
        except _FAILURES as exception:
            error = self._failure(exception, handled)
        logger.debug("%s %s: %s", method, path, error.reason)
        return None, error

    def _send(self, method, path, body, headers, limit):
        silence = self._clock.patience()
        response = self._session.request(
            method, self.url + path, data=body, headers=headers,
            timeout=(min(self.connect_timeout, silence), silence),
            stream=True, allow_redirects=False)
        try:
            return Answer(
                response.status_code, response.headers,
                _body(response, limit))
        finally:
            response.close()

    def _failure(self, exception, handled):
        """Return the OrthancError for an exception of the libraries.

        :param handled: what the caller was handling before, which is no cause
        """
        if not self._clock.left():
            return TooSlow()
        if type(exception) is OSError and exception.errno is None:
            return TLSError(
                "The file with the trusted certificates cannot be read.")
        causes = list(_causes(exception, handled))
        if any(getattr(c, 'errno', None) in _NO_WAY for c in causes):
            return Unreachable()
        if any(getattr(c, 'reason', None) in _PLAIN for c in causes):
            return NotEncrypted()
        for types, error in _BY_CAUSE:
            if any(isinstance(c, types) for c in causes):
                return error()
        return ConnectionLost()

    def _refusal(self, answer):
        "Return the OrthancError for an answer, None when it is no error."
        status = answer.status
        if status == 200:
            return None
        if 300 <= status < 400:
            return Redirected(
                status=status,
                details=_origin(answer.headers.get('Location', '')))
        error = BY_STATUS.get(
            status, ServerError if status >= 500 else BadAnswer)
        details = answer.details()
        return error(
            status=status, details=self._cleaned(details),
            own=bool(details) or not answer.body)

    def _cleaned(self, text):
        "Return a server's text without control characters and secrets."
        for secret in self._secrets:
            text = text.replace(secret, '***')
        return ''.join(c if c.isprintable() else ' ' for c in text)[:300]


#: How OpenSSL calls an answer in plain HTTP.
_PLAIN = {'HTTP_REQUEST', 'RECORD_LAYER_FAILURE', 'WRONG_VERSION_NUMBER'}
#: What the libraries raise, the first that fits wins.
_BY_CAUSE = [
    (socket.gaierror, HostNotFound),
    (ConnectionRefusedError, ConnectionRefused),
    ((requests.exceptions.InvalidURL, urllib3.exceptions.LocationParseError,
        UnicodeError), InvalidURL),
    ((ConnectionError, ssl.SSLEOFError, ssl.SSLZeroReturnError),
        ConnectionLost),
    ((requests.exceptions.SSLError, urllib3.exceptions.SSLError, ssl.SSLError),
        TLSError),
    ((requests.ConnectTimeout, urllib3.exceptions.ConnectTimeoutError),
        ConnectTimeout),
    ((requests.Timeout, urllib3.exceptions.TimeoutError, socket.timeout),
        ReadTimeout),
    (http.client.IncompleteRead, ConnectionLost),
    ((http.client.HTTPException, urllib3.exceptions.InvalidHeader, zlib.error),
        BadAnswer),
    ((requests.RequestException, urllib3.exceptions.HTTPError, OSError),
        ConnectionLost),
    (ValueError, BadAnswer),
    ]


def _causes(exception, handled):
    "Yield an exception and all it was made from, but for what was handled."
    found, seen = [exception], {id(handled)}
    while found:
        exception = found.pop()
        if not isinstance(exception, BaseException) or id(exception) in seen:
            continue
        seen.add(id(exception))
        yield exception
        found += [
            *exception.args, getattr(exception, 'reason', None),
            exception.__cause__, exception.__context__]


def _body(response, limit):
    """Read and unpack the body of a response, bytes.

    The body of an error is cut instead of refused.

    :raises AnswerTooLarge, BadAnswer, ConnectionLost:
    """
    strict = response.status_code == 200
    limit = limit if strict else min(limit, MAX_ERROR_BYTES)
    unpacker = _unpacker(response.headers.get('Content-Encoding', ''))
    parts, length, received = [], 0, 0
    expected = response.headers.get('Content-Length', '')
    if strict and expected.isdigit() and int(expected) > limit:
        raise AnswerTooLarge(status=200)
    while True:
        packed = response.raw.read(CHUNK, decode_content=False)
        received += len(packed)
        part = unpacker.decompress(packed, limit + 1 - length)
        length += len(part)
        parts.append(part)
        if length > limit:
            if strict:
                raise AnswerTooLarge(status=200)
            break
        if not packed:
            _check_complete(response, received, unpacker)
            break
    return b''.join(parts)[:limit]


class _Plain:
    "An unpacker for what is not packed."
    eof = True

    def decompress(self, data, max_length):
        return data


def _unpacker(encoding):
    encoding = encoding.strip().lower()
    if encoding in {'', 'identity'}:
        return _Plain()
    if encoding in {'gzip', 'x-gzip', 'deflate'}:
        return zlib.decompressobj(zlib.MAX_WBITS | 32)
    raise BadAnswer("The answer is packed in an unknown way.")


def _check_complete(response, received, unpacker):
    expected = response.headers.get('Content-Length', '')
    if expected.isdigit() and received < int(expected):
        raise ConnectionLost(status=response.status_code)
    if received and not unpacker.eof:
        raise ConnectionLost(status=response.status_code)


def _origin(location):
    "Return scheme and host of an address, '' when it has none."
    try:
        parts = urlsplit(location)
        host = parts.hostname or ''
    except ValueError:
        return ''
    if not _HOST.match(host):
        return ''
    return f'{parts.scheme}://{host}' if parts.scheme else host


def _credentials(user, password):
    "Return the authentication, and the texts that must not be shown."
    if not user and not password:
        return None, ()
    user, password = user or '', password or ''
    # Orthanc reads UTF-8, where requests would send Latin-1.
    pair = [text.encode('utf-8', 'replace') for text in (user, password)]
    token = base64.b64encode(b':'.join(pair)).decode()
    return HTTPBasicAuth(*pair), tuple(filter(None, [token, password]))
