# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The connections of the imaging scripts to trytond (JSON-RPC) and to Orthanc
(REST).

Both use requests, and not proteus for trytond: proteus has no time limits, no
limit on the size of an answer, and fails on texts with control characters,
which XML-RPC cannot carry.
"""
import base64
import contextlib
import http.client
import json
import socket
import ssl
import urllib.parse

from command_line import (
    VERSION, Failure, Refused, TooLate, Unreachable, UsageFailure, deadline)

CONNECT_SECONDS = 10
LARGEST_ANSWER = 256 * 1024 * 1024
# Let the kernel notice within minutes that the other side is gone.
_KEEP_ALIVE = [
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 60),
    (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 15)]
# What reading the JSON of a stranger may raise.
_NOT_UNDERSTOOD = (
    ValueError, TypeError, LookupError, AttributeError, RecursionError)
# Why there is no answer; the first that fits counts.
_REASONS = [
    ((socket.gaierror, UnicodeError), "no host \"{host}\" is known"),
    (TimeoutError, "it does not answer in time"),
    (ConnectionRefusedError, "nothing listens there, is the server down"),
    (ConnectionError, "it closed the connection without an answer"),
    (http.client.HTTPException, "its answer cannot be understood"),
    ]


class Rejected(Failure):
    "Orthanc answered a request with an error, the code of HTTP."

    def __init__(self, message, code):
        super().__init__(message)
        self.code = code


class ServerFailed(Unreachable):
    "GNU Health answered a call with an error of its own."


class _Expired(Refused):
    "The session is over."


class _Closed(Unreachable):
    "The connection ended before the answer began."


class _Http:
    """Requests to one server, with limits on time and size.

    Each has a connection of its own, so that none fails because the server
    closed an old one.  No redirection is followed, as headers hold passwords.
    The environment (proxies, .netrc) has no say.
    """

    def __init__(self, url, what, authorities, timeout):
        self.url = url
        self.where = f"{what} at {url}"
        self.timeout = timeout
        self.session = _make_session(authorities)
        self.headers = self.session.headers

    def send(self, method, path, body=None, silence=None, limit=None):
        "Return status, headers and body (bytes) of an answer; Unreachable."
        timeout = CONNECT_SECONDS, silence or self.timeout
        try:
            with deadline(limit or 5 * self.timeout), self.session.request(
                    method, self.url + path, data=body, timeout=timeout,
                    allow_redirects=False, stream=True) as response:
                return response.status_code, response.headers, _read(response)
        except TooLate:
            raise self._explain(TimeoutError())
        except (OSError, ValueError, http.client.HTTPException) as error:
            raise self._explain(error)

    def problem(self, status):
        "Return the Unreachable for an HTTP status."
        return Unreachable(f"The server at {self.url} has a problem "
            f"(HTTP {status}).", temporary=status >= 500)

    def _explain(self, error):
        while error.__cause__ or error.__context__:
            error = error.__cause__ or error.__context__
        if isinstance(error, ssl.SSLCertVerificationError):
            return Unreachable(f"The certificate of {self.where} is not "
                f"trusted: {error.verify_message}. Name the file of its "
                "authority with --ca-file.")
        if isinstance(error, ssl.SSLError):
            return Unreachable(f"No TLS connection to {self.where}: "
                f"{error.reason or error}. Does it speak https on this port?")
        closed = isinstance(error, ConnectionError) and not isinstance(
            error, ConnectionRefusedError)
        reasons = [text for kind, text in _REASONS if isinstance(error, kind)]
        reason = (reasons[0].format(host=urllib.parse.urlsplit(
                    self.url).hostname) if reasons
            else getattr(error, 'strerror', None) or type(error).__name__)
        return (_Closed if closed else Unreachable)(
            f"Cannot connect to {self.where}: {reason}.", temporary=True)


def _make_session(authorities):
    try:
        import requests
        from requests.adapters import HTTPAdapter
    except ImportError:
        raise UsageFailure("The Python package requests is missing: pip "
            "install \"requests>=2.33\".")

    class Adapter(HTTPAdapter):
        def init_poolmanager(self, *args, **kwargs):
            super().init_poolmanager(
                *args, socket_options=_KEEP_ALIVE, **kwargs)

    session = requests.Session()
    session.trust_env = False
    session.verify = authorities
    session.headers.update({
            'User-Agent': f'gnuhealth-imaging/{VERSION}',
            'Accept-Encoding': 'identity',
            'Connection': 'close'})
    for scheme in ['https://', 'http://']:
        session.mount(scheme, Adapter())
    return session


def _read(response):
    answer = bytearray()
    for part in response.iter_content(65536):
        answer += part
        if len(answer) > LARGEST_ANSWER:
            raise http.client.HTTPException("the answer is too long")
    return bytes(answer)


class Trytond:
    """A session in a GNU Health database, a context that logs out.

    :param server: a command_line.Server
    :param needs: the module that offers the called methods, for messages
    """

    def __init__(self, server, needs):
        self.server = server
        self.needs = needs
        self._http = _Http(
            server.url, "trytond", server.authorities, server.timeout)
        self._http.headers['Content-Type'] = 'application/json'
        self._context = None

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.close()

    def call(self, model, method, *args, **limits):
        """Return the answer of a method of a model, parsed JSON with bytes.

        The context of the user is added to the arguments.

        :param limits: silence and limit, the longest times without a byte
            and for all, in seconds
        :raises Unreachable, Refused: see there
        """
        if self._context is not None:
            try:
                return self._call(model, method, args, **limits)
            except _Expired:
                self._context = None
        self.connect()
        return self._call(model, method, args, **limits)

    def connect(self):
        "Log in, if that was not done yet; raise Unreachable or Refused."
        if self._context is not None:
            return
        user = self.server.user
        self._http.headers.pop('Authorization', None)
        status, headers, body = self._post(
            self.server.path, 'common.db.login', user,
            {'password': self.server.password})
        if status != 200:
            raise self._explain_login(status, headers)
        user_id, key = self._read_session(body)
        token = base64.b64encode(f'{user}:{user_id}:{key}'.encode()).decode()
        self._http.headers['Authorization'] = f'Session {token}'
        self._context = {}
        self._context = self._call('res.user', 'get_preferences', [True])

    def close(self):
        "Log out, if that is quick."
        if self._context is not None:
            self._context = None
            with contextlib.suppress(Unreachable):
                self._post(
                    self.server.path, 'common.db.logout', silence=1, limit=1)

    def _post(self, path, method, *params, **limits):
        body = json.dumps({'id': 1, 'method': method, 'params': params})
        return self._http.send('POST', path, body.encode(), **limits)

    def _call(self, model, method, args, **limits):
        status, _, body = self._post(
            self.server.path, f'model.{model}.{method}', *args, self._context,
            **limits)
        if status != 200:
            raise self._explain_status(status, model, method)
        try:
            answer = json.loads(body, object_hook=_decode)
            if not answer.get('error'):
                return answer['result']
            kind, detail = answer['error']
        except _NOT_UNDERSTOOD as error:
            raise Unreachable(f"The answer of {self._http.where} to {method} "
                f"cannot be understood: {type(error).__name__}.", True)
        raise self._explain_error(str(kind), detail, model)

    def _read_session(self, body):
        "Return the id of the user and the key of the session of a login."
        try:
            answer = json.loads(body)
            if 'error' in answer and answer['error'][0] == 'LoginException':
                raise Refused("More than a password is needed to log in to "
                    f"{self._http.where} as \"{self.server.user}\".")
            user_id, key = answer['result']
            return user_id, key
        except _NOT_UNDERSTOOD:
            raise self._no_trytond()

    def _explain_login(self, status, headers):
        where, user = self._http.where, self.server.user
        database = self.server.database
        if status == 401:
            return Refused(f"Wrong user or password: {where} does not let "
                f"\"{user}\" into \"{database}\".")
        if status == 429:
            return Refused(f"Too many failed logins of \"{user}\" on {where}:"
                " wait, then try again.", True)
        if 300 <= status < 400:
            return Unreachable(f"The server at {self.server.url} sends its "
                f"callers to {headers.get('Location')}: name the right "
                "address with --url.")
        if status >= 500:
            return self._http.problem(status)
        if status in {400, 404, 405} and self._is_trytond():
            return Unreachable(f"There is no database \"{database}\" on "
                f"{where}, or it cannot be opened.")
        return self._no_trytond()

    def _is_trytond(self):
        try:
            _, _, body = self._post('/', 'common.server.version')
            return isinstance(json.loads(body)['result'], str)
        except (Unreachable, *_NOT_UNDERSTOOD):
            return False

    def _no_trytond(self):
        return Unreachable(f"What answers at {self.server.url} is no trytond:"
            " look at the address and at http or https.")

    def _explain_status(self, status, model, method):
        if status == 401:
            return _Expired(f"{self._http.where} does not accept the session "
                "that it gave.")
        if status == 403:
            return Unreachable(f"The database \"{self.server.database}\" "
                f"does not offer {model}.{method}: its module {self.needs} "
                "is older than this script.")
        return self._http.problem(status)

    def _explain_error(self, kind, detail, model):
        if kind == 'UserError' and isinstance(detail, list):
            text = ' - '.join(str(part) for part in detail[:2] if part)
            return Refused(f"The server refused: {text}")
        if kind.strip('\'"') == model:
            return Unreachable(f"The database \"{self.server.database}\" has "
                f"no {model}: activate the module {self.needs}.")
        return ServerFailed("The server failed; its log tells why.", True)


def _decode(value):
    "Return bytes for what trytond made of bytes."
    if value.get('__class__') == 'bytes':
        return base64.b64decode(value['base64'])
    return value


class Orthanc:
    """The REST API of an Orthanc server.

    :param password: str, None when it asks for none
    :param authorities: see command_line.read_authorities
    :param timeout: the longest silence, in seconds
    """

    def __init__(self, url, user=None, password=None, authorities=True,
            timeout=60):
        self.url = url
        self._http = _Http(url, "Orthanc", authorities, timeout)
        if user:
            self._http.session.auth = (
                user.encode(), (password or '').encode())

    def request(self, method, path, body=None):
        """Return the parsed JSON of an answer, str when it is none.

        :param body: str is sent as it is, anything else as JSON
        :raises Unreachable, Refused: see there
        :raises Rejected: any other status than 200
        """
        if body is not None and not isinstance(body, str):
            body = json.dumps(body)
        arguments = method, path, body and body.encode()
        try:
            status, _, answer = self._http.send(*arguments)
        except _Closed:
            # A busy Orthanc does so now and then. What only reads may be
            # asked again (RFC 9110, 9.2.2).
            if method != 'GET':
                raise
            status, _, answer = self._http.send(*arguments)
        if status != 200:
            raise self._explain_status(status, answer, method, path)
        try:
            return json.loads(answer)
        except (ValueError, RecursionError):
            return answer.decode('utf-8', 'replace')

    def _explain_status(self, status, answer, method, path):
        if status == 401:
            return Refused(f"Wrong user or password for {self._http.where}: "
                "see --orthanc-user.")
        if status == 403:
            return Refused(
                f"{self._http.where} does not allow {method} {path}.")
        if status >= 502:
            return self._http.problem(status)
        try:
            answer = json.loads(answer)
            reason = answer.get('Details') or answer.get('Message') or ''
        except _NOT_UNDERSTOOD:
            reason = ''
        return Rejected(f"{self._http.where} answered {status} to {method} "
            f"{path}. {reason}", status)
