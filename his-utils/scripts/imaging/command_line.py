# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the user of an imaging script gives and reads: options, passwords,
messages, signals and exit statuses."""
import argparse
import contextlib
import getpass
import os
import signal
import ssl
import sys
import threading
import time
import traceback
import urllib.parse
from dataclasses import dataclass, field

from files import open_plain, open_secret, read_all

VERSION = '5.0.18'

DONE, SOME_FAILED, USAGE, NOT_CONNECTED, REFUSED, FOLDER = range(6)

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
  Put the password into a file that the script's user owns and nobody else can
  read (mode 0600, --password-file), or into the environment.  Without any of
  them it is asked for, on a terminal.  A password on the command line (-P)
  can be read by every user of this computer; the script warns of it.

environment:
  GNUHEALTH_URL, GNUHEALTH_HOSTNAME, GNUHEALTH_PORT, GNUHEALTH_USER,
  GNUHEALTH_DATABASE, GNUHEALTH_PASSWORD, GNUHEALTH_PASSWORD_FILE and
  GNUHEALTH_CA_FILE stand for the options of these names.  Options win.
"""

LONGEST_PAUSE = 30


class Failure(Exception):
    """What ends the work: a sentence for the user, an exit status, and
    whether the same may work later."""
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
    "The server understands the request and denies it."
    status = REFUSED


class FolderFailure(Failure):
    "A folder or file cannot be used."
    status = FOLDER


class Stopped(BaseException):
    "A signal, of a number, asked to end."

    def __init__(self, number):
        super().__init__(number)
        self.number = number


class TooLate(Exception):
    "The time for something is over."


def misfit(module):
    "Return the Unreachable for an answer that a module should not give."
    return Unreachable("The answer of GNU Health cannot be understood: its "
        f"module {module} does not fit to this script.")


def one_line(text, longest=400):
    "Return text as one line without control characters, shortened, str."
    clean = ''.join(c if c.isprintable() else ' ' for c in str(text))
    clean = ' '.join(clean.split())
    return clean if len(clean) <= longest else f'{clean[:longest]}...'


class Messages:
    "What the user reads: -1 errors only, 0 what was done, 1 details."

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


# Signals

class _Signals:
    "Whether a signal may interrupt now, and the one that could not."
    may_interrupt, noted = False, None


def stop_on_signals():
    """Let SIGTERM, SIGINT and SIGHUP raise Stopped in the main thread: while
    it waits for others, see `interruptible`, or at `check_signals`."""
    for number in [signal.SIGTERM, signal.SIGINT, signal.SIGHUP]:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _stop)


def _stop(number, frame):
    if _Signals.may_interrupt:
        raise Stopped(number)
    _Signals.noted = number


def check_signals():
    "Raise Stopped if there was a signal."
    number, _Signals.noted = _Signals.noted, None
    if number is not None:
        raise Stopped(number)


@contextlib.contextmanager
def interruptible():
    "Let a signal raise Stopped at once, in what may take long."
    former, _Signals.may_interrupt = _Signals.may_interrupt, True
    try:
        check_signals()
        yield
    finally:
        _Signals.may_interrupt = former


@contextlib.contextmanager
def deadline(seconds):
    """Raise TooLate after some seconds, or Stopped, whatever is waited for.

    Other threads than the main one get no signal, and so have no deadline.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def expire(number, frame):
        raise TooLate
    former = signal.signal(signal.SIGALRM, expire)
    # Again each second: a library, or a finalizer, may swallow the first.
    signal.setitimer(signal.ITIMER_REAL, seconds, 1)
    try:
        with interruptible():
            yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, former)


# Options

def positive(text):
    "Return text as a number of seconds above zero (argparse type), float."
    seconds = float(text)
    if not 0 < seconds <= threading.TIMEOUT_MAX:
        raise ValueError(text)
    return seconds


positive.__name__ = 'number of seconds'


def make_parser(description, epilog):
    "Return an argparse parser with the options that all scripts have."
    parser = argparse.ArgumentParser(
        description=description, epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.set_defaults(seconds=None)
    parser.add_argument(
        '--version', action='version', version=f'%(prog)s {VERSION}')
    noise = parser.add_mutually_exclusive_group()
    noise.add_argument('-v', '--verbose', action='store_const', const=1,
        dest='verbosity', default=0, help="print what is done in detail")
    noise.add_argument('-q', '--quiet', action='store_const', const=-1,
        dest='verbosity', help="print errors only")
    add = parser.add_argument_group("connection to GNU Health").add_argument
    add('--url', help="address of trytond, such as "
        "https://his.example.org/tryton (in place of -H and -p)")
    add('-H', '--hostname', help="host of trytond (default: localhost)")
    add('-p', '--port', help="port of trytond (default: 8000)")
    add('-u', '--user', help="login in GNU Health (default: admin)")
    add('-d', '--database', help="database of GNU Health")
    add('--password-file', metavar='FILE',
        help="file whose first line is the password, - for standard input")
    add('-P', '--passwd', '--password', metavar='PASSWORD',
        help="the password; others can read it, see below")
    add('--ca-file', metavar='FILE', help="PEM file of the authorities "
        "trusted for https (default: those of the system)")
    add('--timeout', type=positive, metavar='SECONDS',
        help="longest silence of a server (default: %(default)s)",
        default=60)
    return parser


@dataclass
class Server:
    """Where trytond is, and who asks.

    :ivar url: its base address, without a slash at the end
    :ivar authorities: see `read_authorities`
    :ivar timeout: the longest silence, in seconds
    """
    url: str
    database: str
    user: str
    password: str = field(repr=False)
    authorities: object = True
    timeout: float = 60

    @property
    def path(self):
        "The path of the database below the address, str."
        return f"/{urllib.parse.quote(self.database, safe='')}/"


def read_server(options, environ=os.environ):
    "Return the Server of the options and environment; raise UsageFailure."
    def choose(name, default=None):
        value = getattr(options, name)
        if value is None:
            value = environ.get(f'GNUHEALTH_{name.upper()}')
        return value or default
    if options.passwd is not None and options.verbosity >= 0:
        print("Every user of this computer can read a password on the "
            "command line: use --password-file.", file=sys.stderr)
    database = choose('database')
    if not database:
        raise UsageFailure(
            "No database is named: give -d or GNUHEALTH_DATABASE.")
    url = _read_url(options, choose, environ)
    authorities = read_authorities(url, choose('ca_file'))
    user = choose('user', 'admin')
    password = options.passwd
    if password is None:
        password = read_password(options.password_file, 'GNUHEALTH', environ)
    if password is None:
        password = _ask_password(user)
    return Server(url, database, user, password, authorities, options.timeout)


def _read_url(options, choose, environ):
    named = options.hostname or options.port
    if options.url and named:
        raise UsageFailure("Give either --url or -H and -p, not both.")
    url = options.url or (not named and environ.get('GNUHEALTH_URL'))
    if url:
        return clean_url(url, '--url')
    host, port = choose('hostname', 'localhost'), choose('port', '8000')
    if ':' in host and not host.startswith('['):
        host = f'[{host}]'
    digits = port.isascii() and port.isdecimal()
    if '/' in host or not (digits and 0 < int(port) < 65536):
        raise UsageFailure(
            f"\"{host}\" and \"{port}\" are no host name and port number; "
            "use --url for an address.")
    return clean_url(f'http://{host}:{port}', '-H')


def clean_url(url, option):
    """Return an http or https address without slashes at its end; raise
    UsageFailure when it is none, or has a user, a password or a query."""
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


def read_authorities(url, ca_file):
    """Return what the certificate of an address is checked with: the name of
    a file or folder, as requests takes it, or True; raise UsageFailure."""
    if not url.startswith('https:'):
        return True
    if not ca_file:
        system = ssl.get_default_verify_paths()
        return system.cafile or system.capath or True
    try:
        os.close(open_plain(ca_file))
        ssl.create_default_context(cafile=ca_file)
    except (OSError, ValueError) as error:
        raise UsageFailure(
            f"The file of authorities \"{ca_file}\" cannot be used: "
            f"{getattr(error, 'strerror', None) or error}.")
    return ca_file


def read_password(file, prefix, environ):
    """Return the password of a file that an option names, or of variables
    that begin with a prefix, None without any; raise UsageFailure."""
    if not file and f'{prefix}_PASSWORD' in environ:
        return environ[f'{prefix}_PASSWORD']
    file = file or environ.get(f'{prefix}_PASSWORD_FILE')
    return _read_password_file(file) if file else None


def _ask_password(user):
    if not (sys.stdin and sys.stdin.isatty()):
        raise UsageFailure("There is no password: give --password-file or "
            "GNUHEALTH_PASSWORD, or run this on a terminal.")
    try:
        return getpass.getpass(f"Password of {user}: ")
    except (EOFError, KeyboardInterrupt):
        raise UsageFailure("No password was given.")


def _read_password_file(name):
    try:
        data = (sys.stdin.buffer.readline(4096) if name == '-'
            else read_all(name, 4096, open_secret))
        password = data.decode().split('\n')[0].rstrip('\r')
    except (OSError, ValueError) as error:
        reason = getattr(error, 'strerror', None) or "it is no UTF-8 text"
        raise UsageFailure(
            f"The password file \"{name}\" cannot be read: {reason}.")
    if not password:
        raise UsageFailure(f"The password file \"{name}\" is empty.")
    return password


# Work

def repeat(work, seconds, messages, pause=time.sleep):
    """Call work() for ever, with a pause of seconds.

    A failure that may pass is reported once, work is tried again after longer
    and longer pauses, and its recovery is reported with one line.

    :raises Failure: one that does not pass by itself
    """
    trouble, worked, wait = None, False, seconds
    while True:
        try:
            work()
        except Failure as failure:
            if not (failure.temporary
                    or worked and failure.status == NOT_CONNECTED):
                raise
            if type(failure) is not type(trouble):
                messages.error(f"{failure} Trying again until it works.")
            trouble = failure
            wait = max(seconds, min(max(2 * wait, 1), LONGEST_PAUSE))
        else:
            if trouble:
                messages.error("It works again.")
            trouble, worked, wait = None, True, seconds
        with interruptible():
            pause(wait)


def run(parser, work, arguments=None):
    """Run a script and return its exit status; whatever goes wrong becomes
    one sentence on stderr.

    :param parser: with the script's options
    :param work: function of the parsed options, the Server that they name
        and Messages, which returns an exit status
    :param arguments: those of the command line when None
    """
    options = parser.parse_args(arguments)
    messages = Messages(options.verbosity)
    try:
        server = read_server(options)
        stop_on_signals()
        return work(options, server, messages)
    except Failure as failure:
        messages.error(failure)
        return failure.status
    except Stopped as stopped:
        return DONE if options.seconds else 128 + stopped.number
    except BrokenPipeError:
        sys.stdout = None
        return SOME_FAILED
    except Exception as error:
        # Its text may have the name of a patient, so it is not printed.
        if messages.verbosity > 0:
            traceback.print_tb(error.__traceback__)
        messages.error(f"This should not happen: {type(error).__name__} "
            "(-v tells where).")
        return SOME_FAILED
