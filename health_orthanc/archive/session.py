# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""HTTP for the Orthanc client, on the standard library: bounded time, size
and memory, repetition where it is safe, and typed errors without secrets."""
import base64
import errno
import http.client
import ipaddress
import json
import logging
import re
import socket
import ssl
import threading
import time
import zlib
from contextlib import contextmanager
from typing import NamedTuple
from urllib.parse import quote, unquote, urlsplit

from .connections import lives
from .errors import (
    BY_STATUS, AnswerTooLarge, BadAnswer, ConnectionLost, ConnectionRefused,
    ConnectTimeout, HostNotFound, InvalidURL, NotEncrypted, OrthancError,
    ReadTimeout, Redirected, ServerError, TLSError, TooSlow, Unreachable)

logger = logging.getLogger(__name__)

CONNECT_TIMEOUT = 5
READ_TIMEOUT = 60
UPLOAD_TIMEOUT = 300
TOTAL_TIMEOUT = 300

#: What an answer may take, unpacked: any, and one of a few words.
MAX_BYTES = 256 * 2 ** 20
FEW_BYTES = 2 ** 16
#: The JSON of an answer may hold as many values as the largest one has at so
#: many bytes each, and a list or an object counts as some: small ones take far
#: more memory when parsed.
BYTES_PER_VALUE = 16
WEIGHT_OF_CONTAINER = 4
#: How much an answer of more bytes may grow when it is unpacked: JSON of
#: Orthanc is 9 times as large, a bomb 1000 times.
UNPACKED_BYTES = 2 ** 20
UNPACKED_TIMES = 100
CHUNK = 2 ** 16

ATTEMPTS = 3
BACKOFF = 0.2

_HOST = re.compile(r'[a-z0-9_]([a-z0-9_.-]*[a-z0-9_])?\Z')
_FAILURES = (http.client.HTTPException, OSError, ValueError, zlib.error)
_NO_WAY = {
    errno.EADDRNOTAVAIL, errno.EHOSTDOWN, errno.EHOSTUNREACH, errno.ENETDOWN,
    errno.ENETUNREACH,
    }


def normalize_url(text):
    """Return the address of a server in the one form it is stored in: with
    its scheme, in lower case and ASCII, without the default port and slashes
    at the end. A path prefix stays.

    :param text: what a person typed, str
    :raises InvalidURL: it is not the plain address of a web server; the text
        of the error never repeats it
    """
    scheme, rest = _split_scheme(_plain_text(text))
    netloc, slash, path = rest.partition('/')
    if '@' in netloc:
        raise InvalidURL('credentials')
    host, port = re.match(r'(.*?)(?::([0-9]{0,5}))?\Z', netloc).groups()
    if port and not 0 < int(port) < 2 ** 16:
        raise InvalidURL('port')
    host = _normal_host(host)
    if port and int(port) != {'http': 80, 'https': 443}[scheme]:
        host += f':{int(port)}'
    return f'{scheme}://{host}{_normal_path(slash + path)}'


def _plain_text(text):
    text = text.strip(' \t\r\n') if isinstance(text, str) else ''
    problems = {
        'empty': not text,
        'length': len(text) > 2000,
        'blank': any(c.isspace() for c in text),
        'characters': any(
            not c.isprintable() or c in '\\<>"{}|^`' for c in text),
        'query': '?' in text or '#' in text,
        }
    for problem, is_there in problems.items():
        if is_there:
            raise InvalidURL(problem)
    return text


def _split_scheme(text):
    scheme, separator, rest = text.partition('://')
    if not separator:
        scheme, rest = 'http', text.lstrip('/')
        if re.match(r'https?:', text, re.I):
            raise InvalidURL('host')
    scheme = scheme.lower()
    if scheme not in {'http', 'https'}:
        raise InvalidURL('scheme')
    return scheme, rest


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
        raise InvalidURL('host')
    return host


def _normal_path(path):
    path = quote(path.rstrip('/'), safe="/%:@!$&'()*+,;=-._~")
    if {'.', '..'} & set(unquote(path).split('/')):
        raise InvalidURL('path')
    return path


class _Clock:
    """How long one may still wait for everything.

    The timeout of a socket starts anew with each byte, which a server that
    drips never meets: a timer shuts the socket at the end."""

    def __init__(self):
        self.deadline = self.silence = None
        self.end = float('inf')
        # The socket that is waited for, and whether to wait no longer
        self.sock, self.stopped = None, False

    def left(self):
        "Return the seconds until the end, never below zero."
        return 0 if self.stopped else max(self.deadline - time.monotonic(), 0)

    def check(self):
        if not self.left():
            raise socket.timeout("too slow")

    def stop(self):
        "End all waiting, whichever thread waits."
        self.stopped = True
        self._shut()

    def _shut(self):
        try:
            # Not the method of a TLS socket, which is not made for threads.
            socket.socket.shutdown(self.sock, socket.SHUT_RDWR)
        except (OSError, TypeError):
            # Nobody waits.
            pass

    @contextmanager
    def running(self, seconds, silence):
        "Run for some seconds; a clock that runs already goes on instead."
        if self.deadline is not None:
            yield
            return
        self.deadline = min(time.monotonic() + seconds, self.end)
        self.silence = silence
        timer = threading.Timer(self.left(), self._shut)
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()
            timer.join()
            self.deadline = self.silence = None


class Answer(NamedTuple):
    """A complete HTTP answer, unpacked.

    :ivar limit: how many bytes it might have had
    """
    status: int
    headers: dict
    body: bytes
    limit: int = FEW_BYTES

    def __repr__(self):
        # A traceback may show it, and a body holds data of patients.
        return f'<Answer {self.status}, {len(self.body)} bytes>'

    def json(self, bytes_per_value=BYTES_PER_VALUE):
        """Return the parsed body.

        :param bytes_per_value: of the largest answer
        :raises ValueError: it is no JSON
        :raises AnswerTooLarge: it has more values than an honest one
        """
        commas, lists, objects = map(self.body.count, (b',', b'[', b'{'))
        weight = commas + WEIGHT_OF_CONTAINER * (lists + objects)
        if weight > self.limit // bytes_per_value:
            raise AnswerTooLarge(status=self.status)
        text = self.body.decode('utf-8', 'replace').lstrip('\ufeff')
        try:
            return json.loads(text, strict=False)
        except RecursionError:
            pass
        raise ValueError("nested too deeply")

    def details(self):
        "Return what Orthanc's own JSON says about an error, '' for nothing."
        try:
            value = self.json()
            texts = value.get('Message'), value.get('Details')
        except (AttributeError, ValueError, AnswerTooLarge):
            return ''
        return ": ".join(t for t in texts if t and isinstance(t, str))


class Session:
    """One server, spoken to over one connection by one thread.

    Redirects are not followed, proxies, credentials and cookies not used.
    Only the look-up of the host name is timed by the system alone.

    :param url: the address, see normalize_url
    :param user: the login, None when the server wants none
    :param password: its password
    :param verify: how the certificate is checked: True with those that the
        system trusts, a path with that file, False not at all
    :param connect_timeout: seconds for making a connection
    :param read_timeout: of silence while an answer is read
    :param upload_timeout: of silence during an upload
    :param total_timeout: for one answer in all, repetitions included
    :param max_bytes: the largest answer of any call, unpacked
    :param kept: Connections, to take one from and to give it back to
    :ivar calls: how many HTTP requests were sent
    :raises InvalidURL: url is none
    """
    url = None

    def __init__(
            self, url, user=None, password=None, *, verify=True,
            connect_timeout=CONNECT_TIMEOUT, read_timeout=READ_TIMEOUT,
            upload_timeout=UPLOAD_TIMEOUT, total_timeout=TOTAL_TIMEOUT,
            max_bytes=MAX_BYTES, kept=None):
        self._headers, self._secrets = _credentials(user, password)
        # A traceback may show local variables.
        del user, password
        self.url = normalize_url(url)
        self.connect_timeout = connect_timeout
        self.read_timeout = read_timeout
        self.upload_timeout = upload_timeout
        self.total_timeout = total_timeout
        self.max_bytes = max_bytes
        self.calls = 0
        self._verify = verify
        self._clock = _Clock()
        self._connection = None
        self._kept, self._may_be_old = kept, True
        self._key = (self.url, verify, self._headers.get('Authorization'))

    def __repr__(self):
        return f'<{type(self).__name__} {self.url}>'

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.release()

    def release(self):
        """Leave the connection to who asks the same server next, or close it;
        a later call takes or opens another one."""
        connection = self._connection
        if (self._kept and connection and connection.sock
                and not self._clock.stopped):
            self._connection = self._clock.sock = None
            self._kept.give(self._key, connection)
        self.close()

    def close(self):
        "Close the connection; a later call opens another one."
        self._clock.sock = None
        if self._connection:
            self._connection.close()
            self._connection = None

    def abort(self):
        """Let the request that another thread makes fail, and all later ones;
        only the making of a connection is waited for."""
        self._clock.stop()

    def end_at(self, moment):
        "Let requests fail that are not over at a moment of time.monotonic."
        self._clock.end = moment

    def request(self, method, path, body=None, headers=None, repeat=True,
            max_bytes=FEW_BYTES, look=None):
        """Send a request and return its answer when the status is 200.

        :param body: bytes, or a binary file that knows its length
        :param repeat: whether it may be sent again when the connection broke
        :param max_bytes: the largest answer to this call, unpacked
        :param look: reads what it wants of the http.client.HTTPResponse; the
            answer then has no body
        """
        self._may_be_old = repeat
        if not repeat:
            # A connection that stood idle may be dead without being known.
            self.close()
        limit = min(max_bytes, self.max_bytes)
        with self._clock.running(self.total_timeout, self.read_timeout):
            for attempt in range(ATTEMPTS if repeat else 1):
                if attempt:
                    time.sleep(min(BACKOFF * attempt, self._clock.left()))
                answer, error = self._attempt(
                    method, path, body, headers, limit, look)
                if not isinstance(error, ConnectionLost):
                    break
        if not error and answer.status == 200:
            return answer
        error = error or self._refusal(answer)
        error.call = f'{method} {path}'
        raise error

    def _attempt(self, *call):
        """Return an answer and None, or None and an error; without context, as
        errors of the library carry the request with the password."""
        self.calls += 1
        try:
            return self._send(*call), None
        except OrthancError as exception:
            error = exception
        except _FAILURES as exception:
            error = self._failure(exception)
        except BaseException:
            # What comes next would be the answer to this.
            self.close()
            raise
        self.close()
        logger.debug("%s %s: %s", *call[:2], error.reason)
        return None, error

    def _send(self, method, path, body, headers, limit, look):
        connection = self._connected()
        try:
            connection.request(
                method, urlsplit(self.url).path + path, body, {
                    'User-Agent': 'gnuhealth-orthanc',
                    'Accept-Encoding': self._encoding(),
                    **({} if body is None else {'Content-Length': len(body)}),
                    **(headers or {}), **self._headers})
        except (BrokenPipeError, ConnectionResetError):
            # A server that refuses early says why before it hangs up.
            self._clock.check()
        response = connection.getresponse()
        content = b''
        if look and response.status == 200:
            look(response)
        else:
            content = _body(response, limit)
        answer = Answer(response.status, response.headers, content, limit)
        self._clock.check()
        if not response.isclosed():
            self.close()
        return answer

    def _encoding(self):
        # Between programs of one computer packing takes longer than sending.
        peer = ipaddress.ip_address(self._clock.sock.getpeername()[0])
        return 'identity' if peer.is_loopback else 'gzip'

    def _connected(self):
        "Return a connection to the server, the one there is if it lives."
        self._clock.check()
        if self._connection and not lives(self._connection):
            self.close()
        if self._kept and self._may_be_old and not self._connection:
            self._connection = self._kept.take(self._key)
        if not self._connection:
            self._connection = self._new_connection()
            self._connection.connect()
        self._clock.sock = self._connection.sock
        self._clock.sock.settimeout(self._clock.silence)
        self._clock.check()
        return self._connection

    def _new_connection(self):
        parts = urlsplit(self.url)
        kind, options = http.client.HTTPConnection, {}
        if parts.scheme == 'https':
            kind = http.client.HTTPSConnection
            options = {'context': _context(self._verify)}
        return kind(
            parts.hostname, parts.port, blocksize=CHUNK, timeout=min(
                self.connect_timeout, self._clock.silence,
                self._clock.left()), **options)

    def _failure(self, exception):
        "Return the OrthancError for an exception of the library."
        if not self._clock.left():
            return TooSlow()
        if isinstance(exception, socket.timeout):
            return ReadTimeout() if self._clock.sock else ConnectTimeout()
        if getattr(exception, 'errno', None) in _NO_WAY:
            return Unreachable()
        if getattr(exception, 'reason', None) in _PLAIN:
            return NotEncrypted()
        return next(
            error() for types, error in _BY_CAUSE
            if isinstance(exception, types))

    def _refusal(self, answer):
        "Return the OrthancError for an answer that is no success."
        status = answer.status
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
#: What the library raises, the first that fits wins.
_BY_CAUSE = [
    (socket.gaierror, HostNotFound),
    (ConnectionRefusedError, ConnectionRefused),
    (UnicodeError, InvalidURL),
    ((ConnectionError, ssl.SSLEOFError, ssl.SSLZeroReturnError),
        ConnectionLost),
    (ssl.SSLError, TLSError),
    (http.client.IncompleteRead, ConnectionLost),
    ((http.client.HTTPException, zlib.error), BadAnswer),
    (OSError, ConnectionLost),
    (ValueError, BadAnswer),
    ]


def _context(verify):
    "Return how certificates are checked, see Session."
    unusable = False
    try:
        # Only False itself leaves it out: an empty path does not.
        context = ssl.create_default_context(
            cafile=verify if isinstance(verify, str) and verify else None)
    except OSError:
        unusable = True
    if unusable:
        raise TLSError(
            "The file with the trusted certificates cannot be read.")
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if verify is False:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _body(response, limit):
    "Read and unpack a body; that of an error is cut instead of refused."
    strict = response.status == 200
    limit = limit if strict else min(limit, FEW_BYTES)
    unpacker = _unpacker(response.headers.get('Content-Encoding', ''))
    body, received = bytearray(), 0
    expected = response.headers.get('Content-Length', '')
    expected = int(expected) if expected.isdigit() else 0
    if strict and expected > limit:
        raise AnswerTooLarge(status=200)
    while len(body) <= limit:
        packed = response.read(CHUNK)
        received += len(packed)
        if not packed:
            if received < expected or received and not unpacker.eof:
                raise ConnectionLost(status=response.status)
            break
        body += unpacker.decompress(packed, limit + 1 - len(body))
        if unpacker.unused_data:
            raise BadAnswer("There is something behind the packed answer.")
        if strict and len(body) > UNPACKED_BYTES + UNPACKED_TIMES * received:
            raise AnswerTooLarge(status=200)
    if strict and len(body) > limit:
        raise AnswerTooLarge(status=200)
    del body[limit:]
    return bytes(body)


class _Plain:
    "An unpacker for what is not packed."
    eof, unused_data = True, b''

    def decompress(self, data, max_length):
        return data


def _unpacker(encoding):
    encoding = encoding.strip().lower()
    if encoding in {'', 'identity'}:
        return _Plain()
    if encoding in {'gzip', 'x-gzip', 'deflate'}:
        return zlib.decompressobj(zlib.MAX_WBITS | 32)
    raise BadAnswer("The answer is packed in an unknown way.")


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
    "Return the header that authenticates, and the texts not to be shown."
    if not user and not password:
        return {}, ()
    # Orthanc reads UTF-8.
    pair = [(text or '').encode('utf-8', 'replace')
        for text in (user, password)]
    token = base64.b64encode(b':'.join(pair)).decode()
    return {'Authorization': f'Basic {token}'}, tuple(
        filter(None, [token, password]))
