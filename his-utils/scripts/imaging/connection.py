# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the imaging scripts share: options, exit statuses, messages, signals,
and the connections to trytond (proteus over XML-RPC) and to Orthanc (REST).
"""
import argparse
import base64
import getpass
import http.client
import json
import math
import os
import select
import signal
import socket
import ssl
import stat
import sys
import threading
import traceback
import urllib.parse
import xmlrpc.client
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

VERSION = '5.0.11'

DONE = 0
SOME_FAILED = 1
USAGE = 2
NOT_CONNECTED = 3
REFUSED = 4
FOLDER = 5

EXIT_STATUSES = """\
exit status:
  0  all right
  1  some entries failed; what could be done was done
  2  wrong usage{usage}
  3  cannot connect: the server is down or is no trytond, there is no such
     database or module, or its certificate is not trusted
  4  refused: wrong user or password, or no right to do this
  5  the folder cannot be used{folder}
  A signal that ends work half way gives 128 plus its number.
"""

CONNECTION_HELP = """\
passwords:
  A password on the command line (-P) can be read by every user of this
  computer, if only for a moment: the script hides it as soon as it can.  Put
  it into a file that only the script's user can read (--password-file), or
  into the environment.  Without any of them it is asked for, on a terminal.

environment:
  GNUHEALTH_URL, GNUHEALTH_HOSTNAME, GNUHEALTH_PORT, GNUHEALTH_USER,
  GNUHEALTH_DATABASE, GNUHEALTH_PASSWORD, GNUHEALTH_PASSWORD_FILE and
  GNUHEALTH_CA_FILE stand for the options of these names.  Options win.
"""

CONNECT_SECONDS = 10
LONGEST_WAIT = 30
LARGEST_ANSWER = 256 * 1024 * 1024


class Failure(Exception):
    """What ends the work, with a sentence for the user.

    :ivar status: the exit status
    :ivar temporary: whether the same may work later
    """
    status = SOME_FAILED

    def __init__(self, message, temporary=False):
        super().__init__(one_line(message))
        self.temporary = temporary


class UsageFailure(Failure):
    "Wrong options."
    status = USAGE


class Unreachable(Failure):
    "No usable server."
    status = NOT_CONNECTED


class Refused(Failure):
    "The server knows what is wanted, and does not want it."
    status = REFUSED


class Rejected(Failure):
    """Orthanc answered a request with an error.

    :ivar code: the HTTP status, int
    """

    def __init__(self, message, code):
        super().__init__(message)
        self.code = code


class Stopped(BaseException):
    """A signal asked to end.

    :ivar number: of the signal, int
    """

    def __init__(self, number):
        super().__init__(number)
        self.number = number


def one_line(text, longest=400):
    "Return text as one line without control characters, shortened."
    clean = ''.join(c if c.isprintable() else ' ' for c in str(text))
    clean = ' '.join(clean.split())
    return clean if len(clean) <= longest else f'{clean[:longest]}...'


class Messages:
    """What the user reads.

    :param verbosity: -1 errors only, 0 what was done, 1 details
    """

    def __init__(self, verbosity=0):
        self.verbosity = verbosity
        if hasattr(sys.stdout, 'reconfigure'):
            # A name that the terminal cannot show must not end a service.
            sys.stdout.reconfigure(errors='backslashreplace')

    def error(self, text):
        "Print what is wrong to stderr."
        print(one_line(text), file=sys.stderr, flush=True)

    def info(self, text):
        "Print what was done, unless quiet."
        if self.verbosity >= 0:
            print(one_line(text), flush=True)

    def detail(self, text):
        "Print more, if verbose."
        if self.verbosity > 0:
            print(one_line(text), flush=True)


class Signals:
    """Ends the work soon after SIGTERM, SIGINT or SIGHUP, also while it
    waits for a server."""

    def __init__(self):
        self.number = None
        self._reader, self._writer = os.pipe()
        os.set_blocking(self._writer, False)

    def install(self):
        "Handle the signals of this process, called in the main thread."
        for number in [signal.SIGTERM, signal.SIGINT, signal.SIGHUP]:
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, self.stop)

    def stop(self, number, frame=None):
        "Note the signal; the main thread ends where it next looks."
        self.number = number
        try:
            os.write(self._writer, b'.')
        except BlockingIOError:
            pass

    def check(self):
        "Raise Stopped if a signal came."
        if self.number is not None:
            raise Stopped(self.number)

    def wait(self, seconds, *files):
        """Wait for seconds (None: for ever) or until one of the files can be
        read; return whether one can.  Raise Stopped if a signal comes."""
        self.check()
        ready, _, _ = select.select(
            [self._reader, *files], [], [], seconds)
        self.check()
        return bool(ready)

    def apart(self, function, seconds=None, tick=None):
        """Return function() run in a thread of its own, so that a signal
        ends the wait for it.

        :param seconds: the longest time, None for no limit
        :param tick: called about once a second meanwhile
        :raises Stopped: a signal came; the thread is left behind
        :raises TimeoutError: it took too long; the thread is left behind
        """
        outcome = []
        reader, writer = os.pipe()
        thread = threading.Thread(
            target=_report, args=[function, outcome, writer], daemon=True)
        thread.start()
        with open(reader, 'rb', closefd=True):
            left = math.inf if seconds is None else seconds
            while not self.wait(min(left, 1), reader):
                left -= 1
                if left <= 0:
                    raise TimeoutError(f"not done in {seconds:g} seconds")
                if tick:
                    tick()
        result, error = outcome[0]
        if error:
            raise error
        return result


def _report(function, outcome, writer):
    try:
        outcome.append((function(), None))
    except BaseException as error:
        outcome.append((None, error))
    finally:
        os.close(writer)


def positive(text):
    "Return text as a number of seconds above zero (argparse type)."
    seconds = float(text)
    if not 0 < seconds <= threading.TIMEOUT_MAX:
        raise ValueError(text)
    return seconds


positive.__name__ = 'number of seconds'


def make_parser(description, epilog):
    "Return an argparse parser with the options of every script."
    parser = argparse.ArgumentParser(
        description=description, epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        '--version', action='version', version=f'%(prog)s {VERSION}')
    noise = parser.add_mutually_exclusive_group()
    noise.add_argument('-v', '--verbose', action='store_const', const=1,
        dest='verbosity', default=0, help="print what is done in detail")
    noise.add_argument('-q', '--quiet', action='store_const', const=-1,
        dest='verbosity', help="print errors only")
    _add_connection_options(parser.add_argument_group(
            "connection to GNU Health"))
    return parser


def _add_connection_options(group):
    add = group.add_argument
    add('--url', help="address of trytond, such as "
        "https://his.example.org/tryton (in place of -H and -p)")
    add('-H', '--hostname', help="host of trytond (default: localhost)")
    add('-p', '--port', help="port of trytond (default: 8000)")
    add('-u', '--user', help="login in GNU Health (default: admin)")
    add('-d', '--database', help="database of GNU Health")
    add('--password-file', metavar='FILE',
        help="file whose first line is the password, - for standard input")
    add('-P', '--passwd', '--password', metavar='PASSWORD',
        help="the password; others may see it, see below")
    add('--ca-file', metavar='FILE', help="PEM file of the authorities "
        "trusted for https (default: those of the system)")
    add('--timeout', type=positive, metavar='SECONDS',
        help="longest silence of a server (default: %(default)s)",
        default=60)


@dataclass
class Server:
    """Where trytond is, and who asks.

    :ivar url: its base address, str without a slash at the end
    """
    url: str
    database: str
    user: str
    password: str = field(repr=False)
    context: object = field(default=None, repr=False)
    timeout: float = 60

    @property
    def address(self):
        "The address of the database, str."
        database = urllib.parse.quote(self.database, safe='')
        return f'{self.url}/{database}/'


def read_server(options, environ=os.environ):
    """Return the Server that the options and the environment name.

    :raises UsageFailure: something is missing or wrong
    """
    password = options.passwd
    if password:
        hide_argument(password)
    database = _choose(options, environ, 'database')
    if not database:
        raise UsageFailure(
            "No database is named: give -d or GNUHEALTH_DATABASE.")
    url = _read_url(options, environ)
    ca_file = _choose(options, environ, 'ca_file')
    context = tls_context(ca_file) if url.startswith('https:') else None
    user = _choose(options, environ, 'user') or 'admin'
    password = _read_password(options, environ, user)
    return Server(url, database, user, password, context, options.timeout)


def _choose(options, environ, name):
    value = getattr(options, name)
    if value is None:
        value = environ.get(f'GNUHEALTH_{name.upper()}')
    return value


def _read_url(options, environ):
    named = options.hostname or options.port
    if options.url and named:
        raise UsageFailure("Give either --url or -H and -p, not both.")
    url = options.url or (not named and environ.get('GNUHEALTH_URL'))
    if url:
        return clean_url(url, '--url')
    host = _choose(options, environ, 'hostname') or 'localhost'
    port = _choose(options, environ, 'port') or '8000'
    if ':' in host and not host.startswith('['):
        host = f'[{host}]'
    digits = port.isascii() and port.isdecimal()
    if '/' in host or not (digits and 0 < int(port) < 65536):
        raise UsageFailure(
            f"\"{host}\" and \"{port}\" are no host name and port number; "
            "use --url for an address.")
    return clean_url(f'http://{host}:{port}', '-H')


def clean_url(url, option):
    """Return the address without slashes at its end.

    :raises UsageFailure: it is no http or https address, or it has a user,
        a password or a query
    """
    hint = f"{option} needs an address such as https://his.example.org/tryton"
    try:
        parts = urllib.parse.urlsplit(url)
        good = (parts.scheme in {'http', 'https'} and parts.hostname
            and parts.port != 0 and url.isprintable() and ' ' not in url)
        parts.hostname.encode('idna')
    except (ValueError, AttributeError):
        good = False
    if not good:
        raise UsageFailure(f"{hint}.")
    if parts.username is not None:
        raise UsageFailure(f"{hint}, without a user or password in it.")
    if parts.query or parts.fragment:
        raise UsageFailure(f"{hint}, without ? or #.")
    path = urllib.parse.quote(parts.path, safe='/%')
    return f'{parts.scheme}://{parts.netloc}{path}'.rstrip('/')


def tls_context(ca_file):
    "Return what checks certificates; raise UsageFailure for a bad file."
    try:
        return ssl.create_default_context(cafile=ca_file or None)
    except (OSError, ValueError) as error:
        raise UsageFailure(
            f"The file of authorities \"{ca_file}\" cannot be used: "
            f"{getattr(error, 'strerror', None) or error}.")


def _read_password(options, environ, user):
    if options.passwd is not None:
        return options.passwd
    if options.password_file:
        return read_password_file(options.password_file)
    if 'GNUHEALTH_PASSWORD' in environ:
        return environ['GNUHEALTH_PASSWORD']
    if environ.get('GNUHEALTH_PASSWORD_FILE'):
        return read_password_file(environ['GNUHEALTH_PASSWORD_FILE'])
    if not (sys.stdin and sys.stdin.isatty()):
        raise UsageFailure("There is no password: give --password-file or "
            "GNUHEALTH_PASSWORD, or run this on a terminal.")
    try:
        return getpass.getpass(f"Password of {user}: ")
    except (EOFError, KeyboardInterrupt):
        raise UsageFailure("No password was given.")


def read_password_file(name):
    """Return the first line of a file, of standard input for ``-``.

    :raises UsageFailure: it cannot be read, or is empty
    """
    try:
        if name == '-':
            data = sys.stdin.buffer.readline()
        else:
            data = Path(name).read_bytes()
            _warn_of_readers(name)
        password = data.decode().split('\n')[0].rstrip('\r')
    except (OSError, ValueError) as error:
        reason = getattr(error, 'strerror', None) or "it is no UTF-8 text"
        raise UsageFailure(
            f"The password file \"{name}\" cannot be read: {reason}.")
    if not password:
        raise UsageFailure(f"The password file \"{name}\" is empty.")
    return password


def _warn_of_readers(name):
    mode = os.stat(name).st_mode
    if stat.S_ISREG(mode) and mode & stat.S_IROTH:
        print(f"Every user of this computer can read \"{name}\": "
            "chmod 600 helps.", file=sys.stderr)


def hide_argument(secret):
    """Overwrite a secret in the command line of this process, as ``ps``
    shows it; return whether that worked (Linux only)."""
    secret = os.fsencode(secret)
    try:
        start, end = _argument_area()
        with open('/proc/self/mem', 'r+b', buffering=0) as memory:
            memory.seek(start)
            words = memory.read(end - start).split(b'\0')
            memory.seek(start)
            memory.write(b'\0'.join(_mask(word, secret) for word in words))
    except (OSError, ValueError, IndexError):
        return False
    return True


def _mask(word, secret):
    given = word == secret or (
        word.startswith(b'-') and word.endswith(secret))
    return word[:-len(secret)] + b'*' * len(secret) if given else word


def _argument_area():
    # Fields 48 and 49 of proc(5) stat; the second one, in parentheses, may
    # hold blanks.
    text = Path('/proc/self/stat').read_bytes().rpartition(b')')[2]
    fields = text.split()
    return int(fields[45]), int(fields[46])


def _open(url, timeout, context):
    "Return a connected HTTP connection to the host of an address."
    parts = urllib.parse.urlsplit(url)
    if parts.scheme == 'https':
        connection = http.client.HTTPSConnection(
            parts.hostname, parts.port, timeout=CONNECT_SECONDS,
            context=context)
    else:
        connection = http.client.HTTPConnection(
            parts.hostname, parts.port, timeout=CONNECT_SECONDS)
    try:
        connection.connect()
        connection.sock.settimeout(timeout)
        _keep_alive(connection.sock)
    except BaseException:
        connection.close()
        raise
    return connection


def _keep_alive(sock):
    "Let the kernel notice within two minutes that the other side is gone."
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in [
            ('TCP_KEEPIDLE', 60), ('TCP_KEEPINTVL', 15), ('TCP_KEEPCNT', 4)]:
        if hasattr(socket, name):
            sock.setsockopt(
                socket.IPPROTO_TCP, getattr(socket, name), value)


def fetch(url, method, body=None, headers=None, timeout=60, context=None):
    """Return status, headers and body of an HTTP answer.

    No redirection is followed, as headers may hold a password.

    :raises OSError, http.client.HTTPException: no answer
    """
    parts = urllib.parse.urlsplit(url)
    target = parts.path + (f'?{parts.query}' if parts.query else '')
    with closing(_open(url, timeout, context)) as connection:
        connection.request(method, target or '/', body, headers or {})
        response = connection.getresponse()
        answer = response.read(LARGEST_ANSWER + 1)
        if len(answer) > LARGEST_ANSWER:
            raise http.client.HTTPException("the answer is too long")
        return response.status, response.headers, answer


def explain(error, url, what):
    """Return the Unreachable for an error of a connection.

    :param what: "trytond" or "Orthanc"
    """
    where = f"{what} at {url}"
    if isinstance(error, ssl.SSLCertVerificationError):
        return Unreachable(
            f"The certificate of {where} is not trusted: "
            f"{error.verify_message}. Name the file of its authority with "
            "--ca-file.")
    if isinstance(error, ssl.SSLError):
        return Unreachable(
            f"No TLS connection to {where}: {error.reason or error}. Does it "
            "speak https on this port?")
    return Unreachable(
        f"Cannot connect to {where}: {_reason(error, url)}.", temporary=True)


def _reason(error, url):
    if isinstance(error, (socket.gaierror, UnicodeError)):
        name = urllib.parse.urlsplit(url).hostname
        return f"no host \"{name}\" is known"
    if isinstance(error, (TimeoutError, socket.timeout)):
        return "it does not answer in time"
    if isinstance(error, ConnectionRefusedError):
        return "nothing listens there, is the server down"
    if isinstance(error, (ConnectionError, http.client.RemoteDisconnected)):
        return "it closed the connection without an answer"
    if isinstance(error, http.client.HTTPException):
        return "its answer cannot be understood"
    return getattr(error, 'strerror', None) or error


class _Answer:
    """An HTTP answer that ends with an error when it is too long.

    Control characters, which XML forbids and trytond sends as they are, are
    replaced: one odd text must not hide all others.
    """
    _clean = bytes(
        code if code >= 32 or code in b'\t\n\r' else 32
        for code in range(256))

    def __init__(self, response):
        self._response = response
        self._left = LARGEST_ANSWER

    def read(self, size):
        "Return at most size bytes."
        data = self._response.read(size)
        self._left -= len(data)
        if self._left < 0:
            raise http.client.HTTPException("the answer is too long")
        return data.translate(self._clean)


class _Transport(xmlrpc.client.Transport):
    """XML-RPC over a new connection per call, with time limits, as a call
    must not be made twice behind the caller's back."""
    accept_gzip_encoding = False
    user_agent = f'gnuhealth-imaging/{VERSION}'

    def __init__(self, server, token):
        super().__init__(use_builtin_types=True,
            headers=[('Authorization', f'Session {token}')])
        self.timeout = server.timeout
        self._server = server

    def make_connection(self, host):
        connection = _open(
            self._server.url, self.timeout, self._server.context)
        self._connection = host, connection
        return connection

    def request(self, host, handler, request_body, verbose=False):
        try:
            return self.single_request(host, handler, request_body)
        finally:
            self.close()

    def parse_response(self, response):
        return super().parse_response(_Answer(response))


class Trytond:
    """A session in a GNU Health database.

    :param server: a Server
    :param signals: Signals, so that no call delays the end
    :param needs: the module that offers the called methods, for messages
    """

    def __init__(self, server, signals, needs):
        self.server = server
        self.signals = signals
        self.needs = needs
        self._config = None
        self._transport = None

    def call(self, model, method, *args, tick=None, limit=None,
            silence=None):
        """Return what a method of a model answers.

        The context of the user is added to the arguments.

        :param tick: called about once a second meanwhile
        :param limit: the longest time for the whole answer, in seconds
        :param silence: the longest time without a byte of it, in seconds
        :raises Unreachable, Refused: see there
        """
        limit = limit or 5 * self.server.timeout
        again = self._config is not None
        while True:
            self.connect()
            try:
                return self._apart(
                    lambda: self._call(model, method, args, silence),
                    limit, tick)
            except _Expired:
                if not again:
                    raise
                again = False

    def connect(self):
        "Log in, if that was not done yet; raise Unreachable or Refused."
        if not self._config:
            self._config = self._apart(self._login, 5 * CONNECT_SECONDS
                + 2 * self.server.timeout)

    def close(self):
        "Log out, if that is quick."
        config, self._config = self._config, None
        if config:
            logout = Signals()
            try:
                logout.apart(config.server.common.db.logout, 1)
            except Exception:
                pass

    def _apart(self, function, limit, tick=None):
        done = False
        try:
            result = self.signals.apart(function, limit, tick)
            done = True
            return result
        except TimeoutError as error:
            raise explain(error, self.server.url, "trytond")
        finally:
            if not done:
                self._config = None

    def _call(self, model, method, args, silence):
        config = self._config
        self._transport.timeout = silence or self.server.timeout
        function = getattr(config.get_proxy(model), method)
        try:
            return function(*args, config.context)
        except Exception as error:
            raise self._explain_call(error, model, method)

    def _login(self):
        set_xmlrpc = _import_proteus()
        try:
            status, headers, body = self._post(
                self.server.address, 'common.db.login', self.server.user,
                {'password': self.server.password})
        except (OSError, ValueError, http.client.HTTPException) as error:
            raise explain(error, self.server.url, "trytond")
        session = self._read_session(status, headers, body)
        self._transport = _Transport(self.server, session)
        try:
            return set_xmlrpc(
                self.server.address, transport=self._transport)
        except Exception as error:
            raise self._explain_call(error, 'res.user', 'get_preferences')

    def _post(self, url, method, *params):
        "Call a method by JSON-RPC, which can carry any password."
        body = json.dumps({'id': 1, 'method': method, 'params': params})
        return fetch(
            url, 'POST', body, {
                'Content-Type': 'application/json',
                'User-Agent': _Transport.user_agent,
                }, self.server.timeout, self.server.context)

    def _read_session(self, status, headers, body):
        "Return the token of the session that a login gave."
        if status != 200:
            raise self._explain_login(status, headers)
        try:
            user_id, key = json.loads(body)['result']
        except (ValueError, TypeError, LookupError):
            raise self._no_trytond()
        token = f'{self.server.user}:{user_id}:{key}'
        return base64.b64encode(token.encode()).decode()

    def _explain_login(self, status, headers):
        url = self.server.url
        if status == 401:
            return Refused(f"Wrong user or password: trytond at {url} does "
                f"not let \"{self.server.user}\" into \"{self.server.database}"
                "\".")
        if status == 429:
            return Refused(f"Too many failed logins of \"{self.server.user}\""
                f" on trytond at {url}: wait, then try again.", True)
        if 300 <= status < 400:
            return Unreachable(f"The server at {url} sends its callers to "
                f"{headers.get('Location')}: name the right address with "
                "--url.")
        if status >= 500:
            return Unreachable(
                f"The server at {url} has a problem (HTTP {status}).", True)
        if status in {400, 404, 405} and self._is_trytond():
            return Unreachable(f"There is no database "
                f"\"{self.server.database}\" on trytond at {url}, or it "
                "cannot be opened.")
        if status == 403 and self._is_trytond():
            return Refused(f"More than a password is needed to log in to "
                f"trytond at {url} as \"{self.server.user}\".")
        return self._no_trytond()

    def _is_trytond(self):
        try:
            status, _, body = self._post(
                f'{self.server.url}/', 'common.server.version')
            return status == 200 and isinstance(
                json.loads(body)['result'], str)
        except (OSError, ValueError, http.client.HTTPException, TypeError,
                LookupError):
            return False

    def _no_trytond(self):
        return Unreachable(f"What answers at {self.server.url} is no trytond:"
            " look at the address and at http or https.")

    def _explain_call(self, error, model, method):
        if isinstance(error, xmlrpc.client.ProtocolError):
            return self._explain_status(error.errcode, model, method)
        if isinstance(error, xmlrpc.client.Fault):
            return self._explain_fault(error, model)
        if isinstance(error, (OSError, http.client.HTTPException)):
            return explain(error, self.server.url, "trytond")
        return Unreachable(f"The answer of trytond at {self.server.url} to "
            f"{method} cannot be understood: {type(error).__name__}.", True)

    def _explain_status(self, status, model, method):
        if status == 401:
            return _Expired(f"trytond at {self.server.url} does not accept "
                "the session that it gave.")
        if status == 403:
            return Unreachable(f"The database \"{self.server.database}\" "
                f"does not offer {model}.{method}: its module {self.needs} "
                "is older than this script.")
        return Unreachable(f"The server at {self.server.url} has a problem "
            f"(HTTP {status}).", temporary=status >= 500)

    def _explain_fault(self, fault, model):
        text = fault.faultString.strip(' -')
        if fault.faultCode == 1:
            return Refused(f"The server refused: {text}")
        if text.strip('\'"') == model:
            return Unreachable(f"The database \"{self.server.database}\" has "
                f"no {model}: activate the module {self.needs}.")
        return Unreachable(f"The server failed: {text}", temporary=True)


class _Expired(Refused):
    "The session is over."


def _import_proteus():
    try:
        from proteus.config import set_xmlrpc
    except ImportError:
        raise UsageFailure(
            "The Python package proteus is missing: pip install "
            "\"proteus>=7.0,<7.1\".")
    return set_xmlrpc


class Orthanc:
    """The REST API of an Orthanc server.

    :param url: its base address
    :param signals: Signals, so that no call delays the end
    :param password: str, None when it asks for none
    """

    def __init__(self, url, signals, user=None, password=None, context=None,
            timeout=60):
        self.url = url
        self.signals = signals
        self.context = context
        self.timeout = timeout
        self._headers = {'User-Agent': _Transport.user_agent}
        if user:
            token = base64.b64encode(f'{user}:{password or ""}'.encode())
            self._headers['Authorization'] = f'Basic {token.decode()}'

    def request(self, method, path, body=None):
        """Return the parsed JSON of an answer, str when it is none.

        :param body: str is sent as it is, anything else as JSON
        :raises Unreachable, Refused: see there
        :raises Rejected: any other status than 200
        """
        if body is not None and not isinstance(body, str):
            body = json.dumps(body)
        try:
            status, headers, answer = self.signals.apart(
                lambda: fetch(f'{self.url}{path}', method,
                    body and body.encode(), self._headers, self.timeout,
                    self.context),
                5 * self.timeout)
        except (OSError, ValueError, http.client.HTTPException) as error:
            raise explain(error, self.url, "Orthanc")
        if status != 200:
            raise self._explain_status(status, answer, method, path)
        text = answer.decode('utf-8', 'replace')
        try:
            return json.loads(text)
        except ValueError:
            return text

    def _explain_status(self, status, answer, method, path):
        if status == 401:
            return Refused(f"Wrong user or password for Orthanc at {self.url}"
                ": see --orthanc-user.")
        if status == 403:
            return Refused(f"Orthanc at {self.url} does not allow {method} "
                f"{path}.")
        if status >= 502:
            return Unreachable(
                f"The server at {self.url} has a problem (HTTP {status}).",
                True)
        try:
            answer = json.loads(answer)
            reason = answer.get('Details') or answer.get('Message') or ''
        except (ValueError, AttributeError):
            reason = ''
        return Rejected(f"Orthanc at {self.url} answered {status} to "
            f"{method} {path}. {reason}", status)


def repeat(work, seconds, signals, messages):
    """Call work() for ever, with a pause of seconds.

    A failure that may pass is told once, work is tried again after longer
    and longer pauses, and its return is told with one line.

    :raises Failure: one that does not pass by itself
    """
    trouble, worked, pause = None, False, seconds
    while True:
        try:
            work()
        except Failure as failure:
            may_pass = failure.temporary or (
                worked and failure.status == NOT_CONNECTED)
            if not may_pass:
                raise
            if type(failure) is not type(trouble):
                messages.error(f"{failure} Trying again until it works.")
            trouble, pause = failure, min(max(2 * pause, 1), LONGEST_WAIT)
        else:
            if trouble:
                messages.error("It works again.")
            trouble, worked, pause = None, True, seconds
        signals.wait(max(pause, seconds) if trouble else seconds)


def run(parser, work, arguments=None):
    """Run a script and return its exit status.

    Whatever goes wrong becomes one sentence on stderr.

    :param parser: the ArgumentParser with the script's options
    :param work: function of the parsed options, Messages and Signals that
        returns an exit status
    :param arguments: list of words, those of the command line when None
    """
    options = parser.parse_args(arguments)
    messages = Messages(options.verbosity)
    try:
        return work(options, messages, Signals())
    except Failure as failure:
        messages.error(failure)
        return failure.status
    except Stopped as stopped:
        return DONE if options.seconds else 128 + stopped.number
    except BrokenPipeError:
        sys.stdout = None
        return SOME_FAILED
    except Exception as error:
        if messages.verbosity > 0:
            traceback.print_exc()
        messages.error(f"This should not happen: {type(error).__name__}: "
            f"{error} (-v tells where).")
        return SOME_FAILED
