# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The Orthanc client against a server that does everything wrong: each fault
gives its own error, in bounded time and memory, and no secret gets out."""
import base64
import errno
import gzip
import inspect
import io
import json
import logging
import re
import socket
import ssl
import subprocess
import threading
import time
import traceback
import tracemalloc

import pytest
from pydicom import dcmread
from support import fault_server as faults
from support.fault_server import SYSTEM, FaultServer, answer, status

from trytond.modules.health_orthanc.archive import orthanc as client_module
from trytond.modules.health_orthanc.archive import session, values
from trytond.modules.health_orthanc.archive.connections import Connections
from trytond.modules.health_orthanc.archive.orthanc import (
    AnswerTooLarge, BadAnswer, BadRequest, Changes, Conflict, ConnectionLost,
    ConnectionRefused, ConnectTimeout, Forbidden, HostNotFound, InvalidURL,
    MethodNotAllowed, NoFrame, NoPicture, NotEncrypted, NotFound, NotOrthanc,
    OrthancClient, OrthancError, ReadTimeout, Redirected, ServerError,
    StorageFull, Stored, TLSError, TooSlow, Unauthorized, Unreachable,
    UnsupportedMedia, UploadTooLarge, normalize_url)
from trytond.modules.health_orthanc.archive.pacs import Pacs

ID = '8a8cf898-ca27c490-d0c7058c-929d0581-2bbf104d'
OTHER = 'fa558bce-587a86d3-ad0da9b3-9d043d9d-4f5c5718'
PASSWORD = "Pässwört & 密码"
TOKEN = base64.b64encode(f'demo:{PASSWORD}'.encode()).decode()
PNG = (
    b'\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\1\0\0\0\1\x08\0\0\0\0'
    b'\x3a\x7e\x9b\x55\0\0\0\0IEND\xaeB`\x82')
JPEG = b'\xff\xd8\xff\xe0 a picture \xff\xd9'


@pytest.fixture
def server():
    with FaultServer() as server:
        # What is read before the server is asked to parse a file.
        server.on('^/instances/[^/]*/file$', answer(b''))
        yield server


@pytest.fixture
def make_client(server):
    clients = []

    def make(url=None, user='demo', password=PASSWORD, **options):
        clients.append(OrthancClient(
                url or server.url, user, password, **options))
        return clients[-1]
    yield make
    for client in clients:
        client.close()


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch):
    monkeypatch.setattr(session, 'BACKOFF', 0.01)


@pytest.fixture
def client(make_client):
    return make_client(read_timeout=30, total_timeout=60)


def error_of(function, *args, **kwargs):
    with pytest.raises(OrthancError) as info:
        function(*args, **kwargs)
    return info.value


# Addresses

@pytest.mark.parametrize('text, url', [
        ('http://pacs.example.org', 'http://pacs.example.org'),
        ('localhost:8042', 'http://localhost:8042'),
        ('  HTTPS://PACS.Example.org:443/ ', 'https://pacs.example.org'),
        ('http://pacs:80/Orthanc/', 'http://pacs/Orthanc'),
        ('http://pacs:443', 'http://pacs:443'),
        ('https://pacs:80//', 'https://pacs:80'),
        ('//pacs/a', 'http://pacs/a'),
        ('pacs.', 'http://pacs'),
        ('pacs:', 'http://pacs'),
        ('orthanc_1:08042', 'http://orthanc_1:8042'),
        ('[::1]:8042', 'http://[::1]:8042'),
        ('http://[0:0:0::1]/', 'http://[::1]'),
        ('127.0.0.1', 'http://127.0.0.1'),
        ('BÜCHER.example/ä', 'http://xn--bcher-kva.example/%C3%A4'),
        ('http://pacs/a%20b', 'http://pacs/a%20b'),
        ])
def test_normalize_url(text, url):
    assert normalize_url(text) == url
    assert normalize_url(url) == url


@pytest.mark.parametrize('text, problem', [
        (None, 'empty'), (8042, 'empty'), ('', 'empty'), (' \t\n', 'empty'),
        ('ftp://pacs', 'scheme'), ('file:///etc/passwd', 'scheme'),
        ('://pacs', 'scheme'), ('gopher://pacs', 'scheme'),
        ('http:pacs', 'host'), ('http:/pacs', 'host'), ('https:', 'host'),
        ('http://', 'host'), ('http:///a', 'host'), ('http://:80', 'host'),
        ('mailto:someone', 'host'), ('http://[::g]', 'host'),
        ('http://::1', 'host'), ('a..b', 'host'), ('-pacs', 'host'),
        ('pacs%41', 'host'), ('http://pacs:80:80', 'host'),
        ('pacs:８０', 'host'), ('http://pacs:abc', 'host'),
        ('pacs:0', 'port'), ('pacs:65536', 'port'), ('pacs:99999', 'port'),
        ('http://demo:secret@pacs', 'credentials'),
        ('demo@pacs:8042', 'credentials'), ('http://@pacs', 'credentials'),
        ('http://pa cs', 'blank'), ('http://pacs/a\tb', 'blank'),
        ('http://pacs\u3000', 'blank'), ('http://pa\u00a0cs', 'blank'),
        ('http://pacs\0', 'characters'), ('http://pacs/\ud800', 'characters'),
        ('http://pacs\\@other', 'characters'), ('http://<pacs>', 'characters'),
        ('http://pacs/\x7f', 'characters'),
        ('http://pacs/?', 'query'), ('http://pacs/#', 'query'),
        ('http://pacs?a=b', 'query'), ('http://pacs#@other', 'query'),
        ('http://pacs/../b', 'path'), ('http://pacs/a/%2e%2E', 'path'),
        ('http://pacs/.', 'path'),
        ('a' * 64, 'host'), ('pacs/' + 'a' * 2000, 'length'),
        ])
def test_normalize_url_refuses(text, problem):
    with pytest.raises(InvalidURL) as error:
        normalize_url(text)
    assert error.value.problem == problem
    assert error.value.__context__ is None
    assert 'secret' not in ''.join(traceback.format_exception(
            type(error.value), error.value, None))


def test_client_refuses_what_is_no_address():
    assert error_of(OrthancClient, 'ftp://pacs').reason == 'invalid_url'


# Errors

def subclasses(class_):
    for subclass in class_.__subclasses__():
        yield subclass
        yield from subclasses(subclass)


def test_each_error_has_a_reason_and_a_sentence_of_its_own():
    errors = [
        error for error in [OrthancError, *subclasses(OrthancError)]
        if error.__module__ == OrthancError.__module__]
    assert len({e.reason for e in errors}) == len(errors) > 20
    assert len({str(e()) for e in errors}) == len(errors)
    assert all(re.fullmatch('[a-z_]+', e.reason) for e in errors)


@pytest.mark.parametrize('code, error', [
        (400, BadRequest), (401, Unauthorized), (403, Forbidden),
        (404, NotFound), (405, MethodNotAllowed), (409, Conflict),
        (413, UploadTooLarge), (415, UnsupportedMedia), (429, ServerError),
        (500, ServerError), (501, MethodNotAllowed), (502, ServerError),
        (503, ServerError), (507, StorageFull), (599, ServerError),
        (418, BadAnswer), (204, BadAnswer), (206, BadAnswer),
        (300, Redirected), (304, Redirected),
        ])
def test_status(server, client, code, error):
    server.on('', status(code))
    raised = error_of(client.ids, 'studies')
    assert type(raised) is error
    assert raised.status == code
    assert raised.call == 'GET /studies'
    assert str(code) in str(raised)
    assert client.calls == server.count() == 1


def test_what_orthanc_says_about_an_error_is_kept_out_of_its_text(
        server, client):
    server.on('', answer({
                'Message': "Bad request",
                'Details': "Doe^Jane\r\n\x1b[31m" + 'x' * 1000,
                }, 400))
    error = error_of(client.bulk, 'studies', [ID])
    assert type(error) is BadRequest
    assert error.own
    assert error.details.startswith("Bad request: Doe^Jane   [31mxxx")
    assert len(error.details) == 300
    assert 'Doe' not in str(error) + repr(error)


@pytest.mark.parametrize('body', [
        '<html>', '[]', '{"Message": 3}', '{"message": "a"}', '\xff', '{'])
def test_an_error_of_something_else_is_not_taken_for_orthancs(
        server, client, body):
    server.on('', answer(body, 404))
    error = error_of(client.ids, 'studies')
    assert (type(error), error.own, error.details) == (NotFound, False, '')


def test_connection_refused(server, client):
    with server.refusing():
        assert type(error_of(client.system)) is ConnectionRefused
    server.on('', answer(SYSTEM))
    assert client.system() == SYSTEM


def test_host_not_found(make_client):
    client = make_client('http://pacs.invalid')
    assert type(error_of(client.system)) is HostNotFound
    assert client.calls == 1


def test_connect_timeout(make_client):
    with socket.socket() as full:
        full.bind(('127.0.0.1', 0))
        full.listen(0)
        callers = [socket.socket() for _ in range(4)]
        for caller in callers:
            caller.setblocking(False)
            caller.connect_ex(full.getsockname())
        client = make_client(
            'http://127.0.0.1:%d' % full.getsockname()[1],
            connect_timeout=0.3)
        start = time.monotonic()
        assert type(error_of(client.system)) is ConnectTimeout
        assert time.monotonic() - start < 2
        for caller in callers:
            caller.close()


def test_read_timeout_is_not_repeated(server, make_client):
    server.on('', faults.hang())
    client = make_client(read_timeout=0.3)
    assert type(error_of(client.system)) is ReadTimeout
    assert server.count() == 1


@pytest.mark.parametrize('fault', [
        faults.drip(0.05, body=b'[' + b' ' * 1000),
        faults.drip(0.05, headers=True, body=b'[]'),
        faults.delay(0.2, faults.drip(0.05, body=b' ' * 1000)),
        ], ids=['body', 'headers', 'late'])
def test_slow_answer_is_bounded(server, make_client, fault):
    server.on('', fault)
    client = make_client(read_timeout=30, total_timeout=0.6)
    start = time.monotonic()
    error = error_of(client.ids, 'studies')
    assert type(error) is TooSlow
    assert 0.5 < time.monotonic() - start < 2


def test_silence_is_shorter_than_the_whole(server, make_client):
    server.on('', faults.drip(0.05, body=b'[]' + b' ' * 10))
    assert make_client(read_timeout=0.4).ids('studies') == []


def test_server_that_does_not_read_is_bounded(server, make_client):
    server.on('', lambda exchange: exchange.wait(20))
    client = make_client(upload_timeout=0.5)
    start = time.monotonic()
    error = error_of(client.upload, b'x' * 50_000_000)
    assert type(error) is ReadTimeout
    assert time.monotonic() - start < 5


def test_slow_upload_is_bounded(server, make_client, monkeypatch):
    monkeypatch.setattr(client_module, 'UPLOAD_SECONDS_PER_MIB', 0)
    client = make_client(upload_timeout=0.5)

    class Slow(io.BytesIO):
        def read(self, size=-1):
            time.sleep(0.1)
            return super().read(size)

    start = time.monotonic()
    assert type(error_of(client.upload, Slow(b'x' * 2_000_000))) is TooSlow
    assert time.monotonic() - start < 3


@pytest.mark.parametrize('fault', [
        faults.endless(),
        faults.bomb(50_000_000),
        answer(b'[' + b' ' * 2_000_000),
        answer(b'[', headers={'Content-Length': 10 ** 12}),
        answer(b'[', headers={'Content-Length': '9' * 4000}),
        ], ids=['endless', 'bomb', 'large', 'announced', 'absurd'])
def test_large_answer_is_bounded(server, make_client, fault):
    server.on('', fault)
    client = make_client(max_bytes=1_000_000)
    tracemalloc.start()
    try:
        error = error_of(client.ids, 'studies')
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert type(error) is AnswerTooLarge
    assert peak < 10_000_000
    assert server.count() == 1


def test_endless_error_is_bounded(server, client):
    server.on('', faults.endless(head=b'HTTP/1.1 500 No\r\n\r\n'))
    assert type(error_of(client.ids, 'studies')) is ServerError


def test_endless_headers_are_bounded(server, client):
    server.on('', faults.endless(
            b'', b'X-Header: x\r\n' * 1000, b'HTTP/1.1 200 OK\r\n'))
    assert type(error_of(client.ids, 'studies')) is BadAnswer


BODY = b'["' + b'x' * 100_000 + b'"]'
PACKED = {'Content-Encoding': 'gzip'}


def cut_gzip(exchange):
    exchange.discard()
    return faults.Reply(200, gzip.compress(BODY)[:-20], PACKED)


BREAKS = {
    'drop': faults.drop(),
    'no answer': faults.truncate(),
    'reset at once': faults.reset(body=BODY),
    'reset': faults.reset(keep=0.5, body=BODY),
    'truncated': faults.truncate(keep=0.5, body=BODY),
    'one byte short': faults.truncate(keep=len(BODY) - 1, body=BODY),
    'gzip truncated': cut_gzip,
    }
each_break = pytest.mark.parametrize(
    'fault', BREAKS.values(), ids=BREAKS.keys())


@each_break
def test_broken_connection_is_tried_again(server, client, fault):
    server.on('', fault, times=2)
    server.on('', answer(['a']))
    assert client.ids('studies') == ['a']
    assert client.calls == server.count() == 3


@each_break
def test_broken_connection_is_not_tried_for_ever(server, client, fault):
    server.on('', fault)
    assert type(error_of(client.ids, 'studies')) is ConnectionLost
    assert server.count() == 3


def test_reading_by_post_is_tried_again(server, client):
    server.on('', faults.drop(), nth=1)
    server.on('', answer([]))
    assert client.bulk('studies', [ID]) == []
    assert server.count('/tools/bulk-content') == 2


@each_break
@pytest.mark.parametrize('call, method, path', [
        (lambda c: c.upload(b'data'), 'POST', '^/instances$'),
        (lambda c: c.delete('studies', ID), 'DELETE', ID),
        ], ids=['upload', 'delete'])
def test_writing_is_never_tried_again(
        server, client, fault, call, method, path):
    server.on('/system', answer(SYSTEM))
    server.on('', fault)
    assert type(error_of(call, client)) is ConnectionLost
    assert server.count(path, method) == 1


def test_writing_has_a_fresh_connection(server, client):
    server.on('', answer({'RemainingAncestor': None}), method='DELETE')
    server.on('', answer(SYSTEM))
    client.system()
    client.system()
    client.delete('studies', ID)
    ports = [call.port for call in server.calls]
    assert ports[0] == ports[1] != ports[2]


def test_time_is_bounded_over_all_attempts(server, make_client):
    server.on('', faults.delay(0.3, faults.drop()))
    client = make_client(total_timeout=0.5)
    start = time.monotonic()
    assert type(error_of(client.system)) is TooSlow
    assert time.monotonic() - start < 1.5


@pytest.mark.parametrize('location', [
        'http://other.example.org/studies', '/elsewhere', '//other', '',
        'http://demo:secret@other.example.org/', 'http://[', '\x01'])
@pytest.mark.parametrize('code', [301, 302, 303, 307, 308])
def test_redirect_is_not_followed(server, client, location, code):
    server.on('^/studies$', faults.redirect(location, code))
    error = error_of(client.ids, 'studies')
    assert type(error) is Redirected
    assert server.count() == 1
    assert 'secret' not in error.details


def test_endless_redirect_is_bounded(server, client):
    server.on('', faults.endless(
            head=b'HTTP/1.1 302 Found\r\nLocation: /elsewhere\r\n\r\n'))
    start = time.monotonic()
    assert type(error_of(client.ids, 'studies')) is Redirected
    assert time.monotonic() - start < 2


def test_redirect_tells_where_it_leads(server, client):
    server.on('', faults.redirect('https://pacs.example.org:443/x?name=Doe'))
    assert error_of(client.system).details == 'https://pacs.example.org'


@pytest.mark.parametrize('body', [
        b'', b'{', b'[1, 2', b'<html>', b'nothing', b'["a"] b', b'[' * 100_000,
        b'1' * 5000, b'{"a": 1}', b'"studies"', b'[1]', b'[null]', b'true',
        b'[["a"]]'])
def test_wrong_json(server, client, body):
    server.on('', answer(body))
    error = error_of(client.ids, 'studies')
    assert type(error) is BadAnswer
    assert error.call == 'GET /studies'
    assert server.count() == 1


@pytest.mark.parametrize('body, ids', [
        (b'\xef\xbb\xbf["a"]', ['a']),
        (b'["\xff"]', ['\ufffd']),
        (b'["a\x01\nb"]', ['a\x01\nb']),
        (b' [ ] ', []),
        ])
def test_odd_json(server, client, body, ids):
    server.on('', answer(body))
    assert client.ids('studies') == ids


@pytest.mark.parametrize('headers, body', [
        (PACKED, gzip.compress(b'["a"]', mtime=0)),
        ({'content-encoding': ' GZIP '}, gzip.compress(b'["a"]', mtime=0)),
        ({'Content-Encoding': 'identity'}, b'["a"]'),
        ])
def test_packed_answer(server, client, headers, body):
    server.on('', answer(body, headers=headers))
    assert client.ids('studies') == ['a']
    # It is on the same computer.
    assert server.calls[0].headers['accept-encoding'] == 'identity'


@pytest.mark.parametrize('headers', [
        PACKED, {'Content-Encoding': 'br'}, {'Content-Encoding': 'gzip, br'}])
def test_wrongly_packed_answer(server, client, headers):
    server.on('', answer(b'["a"]', headers=headers))
    assert type(error_of(client.ids, 'studies')) is BadAnswer


def test_chunked_answer(server, client):
    head = b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n'
    server.on('', lambda exchange: exchange.write(
            head + b'3\r\n["a\r\n2\r\n"]\r\n0\r\n\r\n'))
    assert client.ids('studies') == ['a']
    server.clear()
    server.on('', faults.garbage(head + b'3\r\n["a\r\nx'))
    assert type(error_of(client.ids, 'studies')) is ConnectionLost


def test_client_goes_on_after_errors(server, client):
    server.on('', faults.garbage(), nth=1)
    server.on('', faults.hang(), nth=2)
    server.on('', answer({'x': 1}, 500), nth=3)
    server.on('', faults.truncate(3, body=BODY), nth=4)
    server.on('', answer(['a']))
    client.read_timeout = 0.3
    for error in [BadAnswer, ReadTimeout, ServerError]:
        assert type(error_of(client.ids, 'studies')) is error
    assert client.ids('studies') == ['a']


@pytest.mark.parametrize('before', [
        UnicodeError(), socket.gaierror(), ConnectionRefusedError(),
        OSError(errno.EHOSTUNREACH, 'x'), ssl.SSLError(), socket.timeout()])
def test_what_the_caller_was_handling_is_no_cause(server, client, before):
    server.on('', faults.drop())
    try:
        raise before
    except Exception:
        error = error_of(client.system)
    assert type(error) is ConnectionLost


def test_no_way_through_the_network(make_client, monkeypatch):
    def connect(*args, **kwargs):
        raise OSError(errno.ENETUNREACH, 'x')
    monkeypatch.setattr(socket.socket, 'connect', connect)
    assert type(error_of(make_client().system)) is Unreachable


# Ended by another thread

def aborted(client, server, function, *arguments):
    """Return the error of a call that another thread ends when the server has
    got it."""
    errors = []
    thread = threading.Thread(
        target=lambda: errors.append(error_of(function, *arguments)))
    thread.start()
    while not server.count():
        time.sleep(0.01)
    time.sleep(0.05)
    client.abort()
    thread.join(5)
    assert not thread.is_alive()
    assert server.count() == 1
    return errors[0]


@pytest.mark.parametrize('fault', [
        faults.hang(), faults.drip(0.05, body=b'[' + b' ' * 1000),
        faults.endless()], ids=['hang', 'drip', 'endless'])
def test_call_is_aborted(server, client, fault):
    server.on('', fault)
    assert isinstance(aborted(client, server, client.ids, 'studies'), TooSlow)
    server.clear()
    assert isinstance(error_of(client.plugins), TooSlow)
    assert not server.count()


def test_call_is_aborted_with_tls(tls_server, make_client, certificate):
    client = make_client(tls_server.url, verify=certificate[0])
    tls_server.on('', faults.hang())
    assert isinstance(aborted(client, tls_server, client.plugins), TooSlow)


def test_client_is_aborted_before_its_first_call(server, client):
    client.abort()
    assert isinstance(error_of(client.plugins), TooSlow)
    assert not server.count()


# Secrets

def everything_about(error):
    """Return all that a log, a screen or a debugger's traceback with the
    values of local variables would show."""
    seen, texts = set(), []
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        trace = traceback.TracebackException.from_exception(
            error, capture_locals=True)
        texts += [str(error), repr(error), repr(vars(error)), *trace.format()]
        error = error.__cause__ or error.__context__
    return '\n'.join(texts)


SECRET_FAULTS = {
    'refused': None,
    'status': status(401),
    'drop': faults.drop(),
    'hang': faults.hang(),
    'garbage': faults.garbage(),
    'html': faults.html(),
    'echo': lambda e: answer({
            'Message': f"{PASSWORD} {e.call.headers['authorization']}",
            }, 400)(e),
    }


@pytest.mark.parametrize(
    'fault', SECRET_FAULTS.values(), ids=SECRET_FAULTS.keys())
def test_password_never_gets_out(server, make_client, fault, caplog):
    caplog.set_level(logging.DEBUG)
    client = make_client(read_timeout=0.3, upload_timeout=0.3)
    if fault:
        server.on('', fault)
    else:
        server.stop()
    for call in [client.system, client.plugins,
            lambda: client.upload(b'data'),
            lambda: client.delete('studies', ID)]:
        try:
            text = repr(call())
        except OrthancError as error:
            assert error.__context__ is None
            text = everything_about(error)
        text += caplog.text + repr(client)
        assert PASSWORD not in text
        assert TOKEN not in text


def test_password_is_not_in_the_traceback_of_a_wrong_address():
    error = error_of(OrthancClient, 'ftp://pacs', 'demo', PASSWORD)
    # The first frame is that of this test.
    error = error.with_traceback(error.__traceback__.tb_next)
    text = everything_about(error)
    assert 'in __init__' in text
    assert PASSWORD not in text


@pytest.mark.parametrize('user, password, header', [
        ('demo', 'secret', 'Basic ZGVtbzpzZWNyZXQ='),
        ('démo', '密', 'Basic ZMOpbW865a+G'),
        ('demo', '', 'Basic ZGVtbzo='),
        ('demo', None, 'Basic ZGVtbzo='),
        ('', 'secret', 'Basic OnNlY3JldA=='),
        ('a\r\nb', '\ud800', 'Basic YQ0KYjo/'),
        (None, None, None),
        ('', '', None),
        ])
def test_credentials(server, make_client, user, password, header):
    server.on('', answer(SYSTEM))
    make_client(user=user, password=password).system()
    assert server.calls[0].headers.get('authorization') == header


def test_environment_is_not_used(
        server, make_client, monkeypatch, tmp_path):
    server.on('', answer(SYSTEM))
    netrc = tmp_path / 'netrc'
    netrc.write_text('machine 127.0.0.1 login stranger password stranger\n')
    netrc.chmod(0o600)
    monkeypatch.setenv('NETRC', str(netrc))
    monkeypatch.setenv('REQUESTS_CA_BUNDLE', str(tmp_path / 'none'))
    for name in ['http_proxy', 'HTTP_PROXY', 'all_proxy', 'ALL_PROXY']:
        monkeypatch.setenv(name, 'http://127.0.0.1:9')
    make_client(user=None, password=None).system()
    assert 'authorization' not in server.calls[0].headers


def test_cookies_are_not_kept(server, client):
    server.on('', answer(SYSTEM, headers={'Set-Cookie': 'a=b; Path=/'}))
    client.system()
    client.system()
    assert 'cookie' not in server.calls[1].headers


def test_path_prefix(server, make_client):
    server.on('^/pacs/system$', answer(SYSTEM))
    assert make_client(server.url + '/pacs/').system() == SYSTEM


# TLS

@pytest.fixture(scope='module')
def certificate(tmp_path_factory):
    folder = tmp_path_factory.mktemp('certificate')
    names = [str(folder / name) for name in ['cert.pem', 'key.pem']]
    subprocess.run([
            'openssl', 'req', '-x509', '-newkey', 'rsa:2048', '-nodes',
            '-days', '2', '-subj', '/CN=127.0.0.1', '-addext',
            'subjectAltName=IP:127.0.0.1', '-out', names[0], '-keyout',
            names[1]], check=True, capture_output=True)
    return names


@pytest.fixture
def tls_server(certificate):
    with FaultServer(tls=certificate) as server:
        server.on('/system', answer(SYSTEM))
        yield server


@pytest.mark.parametrize('verify', [True, None, ''])
def test_certificate_that_is_not_trusted(tls_server, make_client, verify):
    client = make_client(tls_server.url, verify=verify)
    assert type(error_of(client.system)) is TLSError
    assert tls_server.count() == 0


def test_a_connection_with_tls_is_kept(tls_server, make_client, certificate):
    "What a server says after the handshake is no answer of its own accord."
    kept = Connections()
    for _ in range(3):
        with make_client(
                tls_server.url, verify=certificate[0], kept=kept) as client:
            assert client.system() == SYSTEM
    kept.close()
    assert tls_server.accepted == 1


def test_silence_instead_of_a_handshake(make_client):
    with socket.socket() as silent:
        silent.bind(('127.0.0.1', 0))
        silent.listen()
        client = make_client(
            'https://127.0.0.1:%d' % silent.getsockname()[1],
            connect_timeout=0.3)
        start = time.monotonic()
        assert isinstance(error_of(client.system), client_module.Timeout)
        assert time.monotonic() - start < 2


def test_certificate_that_the_administrator_trusts(
        tls_server, make_client, certificate):
    client = make_client(tls_server.url, verify=certificate[0])
    assert client.system() == SYSTEM
    other = tls_server.url.replace('127.0.0.1', 'localhost')
    client = make_client(other, verify=certificate[0])
    assert type(error_of(client.system)) is TLSError


@pytest.mark.filterwarnings('ignore:Unverified HTTPS request')
def test_certificate_that_is_not_checked(tls_server, make_client):
    assert make_client(tls_server.url, verify=False).system() == SYSTEM


@pytest.mark.parametrize('content', [None, '', 'no certificate'])
def test_file_of_certificates_that_cannot_be_used(
        tls_server, make_client, tmp_path, content):
    path = tmp_path / 'ca.pem'
    if content is not None:
        path.write_text(content)
    client = make_client(tls_server.url, verify=str(path))
    assert type(error_of(client.system)) is TLSError


def test_slow_answer_is_bounded_with_tls(
        tls_server, make_client, certificate):
    tls_server.on('/plugins', faults.drip(0.05, body=b' ' * 1000))
    client = make_client(
        tls_server.url, verify=certificate[0], total_timeout=0.6)
    assert type(error_of(client.plugins)) is TooSlow


def test_http_and_https_mixed_up(
        server, tls_server, make_client, certificate):
    client = make_client(server.url.replace('http', 'https'))
    assert type(error_of(client.system)) is NotEncrypted
    client = make_client(tls_server.url.replace('https', 'http'))
    assert type(error_of(client.system)) in {NotOrthanc, ConnectionLost}


# Server

@pytest.mark.parametrize('fault', [
        faults.html(), faults.html(404), answer(''), answer([]),
        answer({}), answer({**SYSTEM, 'Version': 1}),
        answer({**SYSTEM, 'ApiVersion': '16'}),
        answer({**SYSTEM, 'ApiVersion': True}), answer({**SYSTEM, 'Name': 1}),
        status(404), status(400), status(405), faults.garbage(),
        faults.garbage(b'\x15\x03\x01\0\x02\x02\x46'),
        ])
def test_not_an_orthanc(server, client, fault):
    server.on('', fault)
    error = error_of(client.system)
    assert type(error) is NotOrthanc
    assert error.reason == 'not_orthanc'


def test_system_of_a_newer_orthanc(server, client):
    system = {**SYSTEM, 'Capabilities': {'HasExtendedChanges': True}}
    server.on('^/system$', answer(system))
    assert client.system() == system


@pytest.mark.parametrize('value', [
        [], {}, {'CountStudies': 1},
        dict.fromkeys(['CountPatients', 'CountStudies', 'CountSeries',
                'CountInstances'], '3'),
        dict.fromkeys(['CountPatients', 'CountStudies', 'CountSeries',
                'CountInstances'], -1),
        ])
def test_wrong_statistics(server, client, value):
    server.on('', answer(value))
    assert type(error_of(client.statistics)) is BadAnswer


@pytest.mark.parametrize('plugins, page, viewers', [
        ([], None, ['explorer']),
        (['dicom-web', 'stone-webviewer', 'orthanc-explorer-2', 'ohif'], None,
            ['explorer', 'explorer2', 'ohif', 'stone']),
        (['serve-folders'], faults.html(), ['explorer', 'ohif']),
        (['serve-folders'], status(404), ['explorer']),
        (['serve-folders'], answer(SYSTEM), ['explorer']),
        (['serve-folders'], faults.redirect('/'), ['explorer']),
        (['dicom-web'], faults.html(), ['explorer']),
        ])
def test_viewers(server, client, plugins, page, viewers):
    server.on('^/plugins$', answer(plugins))
    if page:
        server.on('^/ohif/viewer$', page)
    assert client.viewers() == viewers


def test_viewers_of_a_server_that_fails(server, client):
    server.on('^/plugins$', answer(['serve-folders']))
    server.on('^/ohif/viewer$', status(500), nth=1)
    server.on('^/ohif/viewer$', faults.drop())
    assert client.viewers() == ['explorer']
    assert type(error_of(client.viewers)) is ConnectionLost


# Change log

def change_block(last, done=True, changes=()):
    return {'Changes': list(changes), 'Last': last, 'Done': done}


@pytest.mark.parametrize('value', [
        [], {}, change_block('3'), change_block(None), change_block(-1),
        change_block(2 ** 63), change_block(1.5), change_block(True),
        change_block(3, None), change_block(3, 1), change_block(3, 'true'),
        {**change_block(3), 'Changes': None},
        {**change_block(3), 'Changes': {}},
        change_block(3, changes=['x']), change_block(3, changes=[None]),
        ])
def test_wrong_changes(server, client, value):
    server.on('', answer(value))
    assert type(error_of(client.changes, 0)) is BadAnswer
    assert type(error_of(client.last_change)) is BadAnswer


def test_changes_never_ask_with_what_orthanc_misunderstands(server, client):
    server.on('', answer(change_block(0)))
    client.changes(-5, 0)
    client.last_change()
    assert [call.path for call in server.calls] == [
        '/changes?since=0&limit=1', '/changes?last']


def test_all_changes(server, client):
    server.on('since=5&', answer(change_block(9, False, [{'Seq': 9}])))
    server.on('since=9&', answer(change_block(12, False)))
    server.on('since=12&', answer(change_block(12, True)))
    assert list(client.all_changes(5, block=4)) == [
        Changes([{'Seq': 9}], 9, False), Changes([], 12, False),
        Changes([], 12, True)]
    assert server.count('limit=4$') == 3


def test_change_log_that_does_not_advance(server, client):
    server.on('', answer(change_block(9, False)))
    blocks = client.all_changes(5)
    assert next(blocks).last == 9
    assert type(error_of(next, blocks)) is BadAnswer


def test_change_log_of_a_server_that_was_reset(server, client):
    server.on('', answer(change_block(3, False)))
    assert list(client.all_changes(5)) == [Changes([], 3, False)]


def test_change_log_without_end(server, client):
    def one_more(exchange):
        since = int(re.search(r'since=(\d+)', exchange.call.path).group(1))
        return answer(change_block(since + 1, False, [{}]))(exchange)
    server.on('', one_more)
    blocks = list(client.all_changes(0, max_blocks=7))
    assert len(blocks) == server.count() == 7
    assert not blocks[-1].done


# Resources

def test_levels(server, client):
    server.on('', answer([ID]))
    for level in ['patients', 'studies', 'series', 'instances', 'Study']:
        assert client.ids(level) == [ID]
    assert [call.path for call in server.calls] == [
        '/patients', '/studies', '/series', '/instances', '/studies']
    with pytest.raises(ValueError):
        client.ids('system')


def test_bulk_asks_once(server, client):
    asked = []

    def content(exchange):
        asked.append(json.loads(exchange.read()))
        return answer([{'ID': ID}])(exchange)
    server.on('^/tools/bulk-content$', content, method='POST')
    assert client.bulk('Study', [ID, OTHER, ID], metadata=True) == [
        {'ID': ID}]
    assert asked == [
        {'Resources': [ID, OTHER], 'Level': 'Study', 'Metadata': True}]
    assert server.count() == 1


def test_bulk_of_nothing_asks_nothing(server, client):
    assert client.bulk('studies', []) == []
    assert client.bulk('studies', [None, 3, '../x', 'a b', '']) == []
    assert server.count() == 0


@pytest.mark.parametrize('value', [{}, None, 'x', ['x'], [None], [[]]])
def test_wrong_bulk(server, client, value):
    server.on('', answer(value))
    assert type(error_of(client.bulk, 'studies', [ID])) is BadAnswer


@pytest.mark.parametrize('code', [403, 404, 405, 501])
def test_refused_bulk_is_remembered(server, client, code):
    server.on('bulk-content', status(code))
    server.on(f'^/studies/{ID}$', answer({'ID': ID}))
    for _ in range(3):
        assert client.bulk('studies', [ID, OTHER]) == [{'ID': ID}]
    assert server.count('bulk-content') == 1
    assert server.count('^/studies/', 'GET') == 6


@pytest.mark.parametrize('code', [400, 401, 409, 500, 503])
def test_failed_bulk_is_no_refusal(server, client, code):
    server.on('bulk-content', status(code))
    assert error_of(client.bulk, 'studies', [ID]).status == code
    assert server.count() == 1


@pytest.mark.parametrize('level, source, path, value', [
        ('studies', 'studies', f'/studies/{ID}', {'ID': OTHER}),
        ('series', 'studies', f'/studies/{ID}/series', [{'ID': OTHER}]),
        ('instances', 'studies', f'/studies/{ID}/instances', [{'ID': OTHER}]),
        ('instances', 'series', f'/series/{ID}/instances', [{'ID': OTHER}]),
        ('studies', 'patients', f'/patients/{ID}/studies', [{'ID': OTHER}]),
        ('studies', 'series', f'/series/{ID}/study', {'ID': OTHER}),
        ('studies', 'instances', f'/instances/{ID}/study', {'ID': OTHER}),
        ('series', 'instances', f'/instances/{ID}/series', {'ID': OTHER}),
        ('patients', 'studies', f'/studies/{ID}/patient', {'ID': OTHER}),
        ])
def test_one_by_one_through_the_hierarchy(
        server, client, level, source, path, value):
    server.on('bulk-content', status(404))
    server.on(f'^{path}$', answer(value))
    assert client.bulk(level, [ID], source=source) == [{'ID': OTHER}]


def test_one_by_one_with_metadata_and_without_duplicates(server, client):
    server.on('bulk-content', status(404))
    server.on('/study$', answer({'ID': ID}))
    server.on(f'^/studies/{ID}/metadata\\?expand$', answer({'a': 'b'}))
    assert client.bulk(
        'studies', [ID, OTHER], metadata=True, source='instances') == [
            {'ID': ID, 'Metadata': {'a': 'b'}}]


def test_one_by_one_leaves_out_only_what_orthanc_itself_does_not_have(
        server, client):
    server.on('bulk-content', status(404))
    server.on('^/studies/', faults.html(404))
    error = error_of(client.bulk, 'studies', [ID])
    assert type(error) is NotFound and not error.own


@pytest.mark.parametrize('value', [[], 'x', None])
def test_wrong_one_by_one(server, client, value):
    server.on('bulk-content', status(404))
    server.on('^/studies/', answer(value))
    assert type(error_of(client.bulk, 'studies', [ID])) is BadAnswer


def test_instances_come_in_blocks(server, client):
    ids = [f'{i:08x}' for i in range(25)]
    sizes = []

    def content(exchange):
        asked = json.loads(exchange.read())['Resources']
        sizes.append(len(asked))
        return answer([
                {'ID': id_, 'ParentSeries': ID} for id_ in asked])(exchange)
    server.on('bulk-content', content)
    series = [
        values.series({'ID': ID, 'ParentStudy': OTHER, 'Instances': some})
        for some in [ids[:15], None, [], [*ids[10:], 3]]]
    found = [i for b in client.instances(series, block=10) for i in b]
    assert [i.id for i in found] == ids
    assert sizes == [10, 10, 5]


def test_instances_of_a_series_come_at_once_without_bulk(server, client):
    server.on('bulk-content', status(404))
    server.on(f'^/studies/{ID}$', answer({'ID': ID}))
    server.on('/series$', answer([{
                    'ID': OTHER, 'ParentStudy': ID,
                    'Instances': [ID, OTHER]}]))
    server.on(f'^/series/{OTHER}/instances$', answer([
                {'ID': ID, 'ParentSeries': OTHER}, {'ID': OTHER}]))
    series = client.series([ID], source='studies')
    (found, odd), = client.instances(series)
    assert (found.id, found.series, odd) == (ID, OTHER, None)
    assert client.calls == 3


@pytest.mark.parametrize('id_', ['', '..', 'a/b', 'a?b', None, 3, 'a\n'])
def test_an_id_cannot_lead_to_another_call(server, client, id_):
    for call in [client.tags, client.preview,
            lambda i: client.delete('studies', i)]:
        with pytest.raises(ValueError):
            call(id_)
    assert server.count() == 0


# Pictures

def picture(body, kind='image/png'):
    return answer(body, headers={'Content-Type': kind})


@pytest.mark.parametrize('body, kind', [
        (PNG, 'image/png'), (JPEG, 'image/jpeg'),
        (JPEG + b'\0', 'image/jpeg')])
def test_preview(server, client, body, kind):
    server.on('/preview$', picture(body, 'text/plain'))
    assert client.preview(ID) == (body, kind)


@pytest.mark.parametrize('options, path', [
        ({}, 'frames/0/preview'),
        ({'frame': 3}, 'frames/3/preview'),
        ({'frame': -3}, 'frames/0/preview'),
        ({'window': (40, 400)},
            'frames/0/rendered?window-center=40&window-width=400'),
        ({'window': ('-600.5', 0), 'frame': 1},
            'frames/1/rendered?window-center=-600.5&window-width=1'),
        ({'window': (float('nan'), 4)}, 'frames/0/preview'),
        ({'size': (100, 200)}, 'frames/0/rendered?width=100&height=200'),
        ({'size': (10 ** 9, 0)}, 'frames/0/rendered?width=4096&height=1'),
        ])
def test_preview_path(server, client, options, path):
    server.on('', picture(PNG))
    client.preview(ID, **options)
    assert [call.path for call in server.calls] == [
        f'/instances/{ID}/file', f'/instances/{ID}/{path}']


@pytest.mark.parametrize('body', [
        b'', b'<html>', b'GIF89a', PNG[:-5], PNG[:20], JPEG[:-2],
        b'<svg xmlns="http://www.w3.org/2000/svg"/>', b'\x89PNG\r\n\x1a\n'])
def test_what_is_no_picture_is_not_returned(server, client, body):
    server.on('', picture(body))
    assert type(error_of(client.preview, ID)) is BadAnswer


@pytest.mark.parametrize('code', [404, 415])
@pytest.mark.parametrize('frame, frames, error', [
        (None, [0], NoPicture), (0, [0], NoPicture), (2, [0, 1, 2], NoPicture),
        (3, [0, 1, 2], NoFrame), (0, [], NoFrame)])
def test_no_picture(server, client, code, frame, frames, error):
    server.on('/preview$', status(code))
    server.on(f'^/instances/{ID}/frames$', answer(frames))
    raised = error_of(client.preview, ID, frame)
    assert type(raised) is error
    assert raised.status == code
    assert isinstance(raised, NoPicture)


def test_no_picture_where_the_number_of_frames_is_no_number(server, client):
    server.on('/preview$', status(415))
    server.on('/frames$', status(400))
    assert type(error_of(client.preview, ID, 1)) is NoPicture


def test_instance_that_is_not_there(server, client):
    server.clear()
    error = error_of(client.preview, ID)
    assert (type(error), error.own) == (NotFound, True)
    assert server.count() == 2


@pytest.mark.parametrize('fault', [
        faults.hang(), faults.drip(0.05, body=PNG),
        faults.delay(0.3, faults.drop())], ids=['hang', 'drip', 'drop'])
def test_preview_is_bounded_in_time(
        server, make_client, monkeypatch, fault):
    monkeypatch.setattr(client_module, 'PREVIEW_TIMEOUT', 0.5)
    server.on('', fault)
    start = time.monotonic()
    error = error_of(make_client().preview, ID)
    assert isinstance(error, client_module.Timeout)
    assert time.monotonic() - start < 1.5


def test_preview_is_bounded_in_size(server, client):
    server.on('', faults.endless(PNG, b'x' * 2 ** 20))
    assert type(error_of(client.preview, ID)) is AnswerTooLarge


def test_promised_bounds_of_a_preview():
    assert client_module.PREVIEW_TIMEOUT == 10
    assert client_module.MAX_PREVIEW_BYTES == 20 * 2 ** 20


# Writing

STORED = {
    'ID': ID, 'ParentPatient': OTHER, 'ParentSeries': OTHER,
    'ParentStudy': OTHER, 'Status': 'Success'}


@pytest.mark.parametrize('value, results', [
        (STORED, [Stored('stored', ID, OTHER, OTHER, OTHER)]),
        ({**STORED, 'Status': 'AlreadyStored'},
            [Stored('already', ID, OTHER, OTHER, OTHER)]),
        ([STORED, {'Status': 'FilteredOut'}, {'Status': 'StorageFull'}], [
                Stored('stored', ID, OTHER, OTHER, OTHER),
                Stored('refused', reason='filtered', details='FilteredOut'),
                Stored('refused', reason='failed', details='StorageFull')]),
        ({'Status': 'Success'},
            [Stored('refused', reason='failed', details='Success')]),
        ({'Status': 'Success', 'ID': ID, 'ParentStudy': '../x'},
            [Stored('stored', ID)]),
        ([], []),
        ])
def test_upload(server, client, value, results):
    server.on('^/instances$', answer(value), method='POST')
    assert client.upload(b'data') == results


@pytest.mark.parametrize('code, details, reason', [
        (400, "Cannot parse an invalid DICOM file", 'not_dicom'),
        (404, "Inexistent tag", 'no_identifiers'),
        ])
def test_refused_upload(server, client, code, details, reason):
    server.on('', answer({'Message': details}, code))
    assert client.upload(b'data') == [
        Stored('refused', reason=reason, details=details)]


@pytest.mark.parametrize('code, error', [
        (400, BadRequest), (401, Unauthorized), (403, Forbidden),
        (404, NotFound), (409, Conflict), (413, UploadTooLarge),
        (500, ServerError), (507, StorageFull)])
def test_failed_upload_is_no_result(server, client, code, error):
    server.on('/system', answer(SYSTEM))
    server.on('', faults.html(code))
    assert type(error_of(client.upload, b'data')) is error


@pytest.mark.parametrize('value', [
        {}, 'x', 3, None, [None], [{}], [{'Status': 3}], ['Success']])
def test_wrong_answer_to_an_upload(server, client, value):
    server.on('', answer(value))
    assert type(error_of(client.upload, b'data')) is BadAnswer


def test_server_that_hangs_up_during_an_upload_is_asked_why(server, client):
    server.on('/system', status(401))
    server.on('', faults.drop())
    assert type(error_of(client.upload, b'x' * 5_000_000)) is Unauthorized


@pytest.mark.parametrize('empty', [b'', io.BytesIO(), io.BytesIO(b'')])
def test_empty_upload_asks_nothing(server, client, empty):
    assert client.upload(empty) == [Stored('refused', reason='empty')]
    assert server.count() == 0


def after_two(data):
    file = io.BytesIO(b'--' + data)
    file.seek(2)
    return file


@pytest.mark.parametrize('wrap', [
        bytes, bytearray, memoryview, io.BytesIO, after_two,
        lambda data: gzip.open(io.BytesIO(gzip.compress(data)))],
    ids=['bytes', 'bytearray', 'memoryview', 'file', 'from its position',
        'gzip'])
def test_upload_sends_every_byte(server, client, wrap):
    received = []

    def take(exchange):
        received.append(exchange.read())
        return answer(STORED)(exchange)
    server.on('', take)
    data = bytes(range(256)) * 1000
    assert client.upload(wrap(data))[0].status == 'stored'
    assert received == [data]
    assert server.calls[0].headers['content-length'] == str(len(data))


class Zeros(io.RawIOBase):
    "A large file that takes no room."

    def __init__(self, size):
        self._size = size
        self._position = 0

    def readable(self):
        return True

    def seekable(self):
        return True

    def seek(self, offset, whence=io.SEEK_SET):
        self._position = offset + {
            io.SEEK_SET: 0, io.SEEK_CUR: self._position,
            io.SEEK_END: self._size}[whence]
        return self._position

    def tell(self):
        return self._position

    def readinto(self, buffer):
        count = min(len(buffer), self._size - self._position)
        buffer[:count] = bytes(count)
        self._position += count
        return count


def test_upload_of_500_mb_in_bounded_memory(server, client):
    server.on('', answer(STORED))
    size = 500 * 2 ** 20
    tracemalloc.start()
    try:
        assert client.upload(Zeros(size))[0].status == 'stored'
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert server.calls[0].headers['content-length'] == str(size)
    assert peak < 5_000_000


def test_file_that_becomes_shorter(server, client):
    server.on('/system', answer(SYSTEM))
    server.on('', answer(STORED))

    class Liar(io.BytesIO):
        def seek(self, offset, whence=io.SEEK_SET):
            return super().seek(offset, whence) + (
                100 if whence == io.SEEK_END else 0)
    start = time.monotonic()
    assert isinstance(error_of(client.upload, Liar(b'data')), OrthancError)
    assert time.monotonic() - start < 3


@pytest.mark.parametrize('ancestor', [None, {'ID': OTHER, 'Type': 'Study'}])
def test_delete(server, client, ancestor):
    server.on(f'^/series/{ID}$', answer({'RemainingAncestor': ancestor}),
        method='DELETE')
    assert client.delete('series', ID) is True
    assert server.count() == 1


@pytest.mark.parametrize('fault', [
        faults.html(), answer({}), answer([]), answer(''), answer(None),
        answer({'status': 'ok'}), status(204), status(202)])
def test_only_orthanc_confirms_a_delete(server, client, fault):
    server.on('', fault)
    assert type(error_of(client.delete, 'series', ID)) is BadAnswer


def test_what_was_deleted_before_is_looked_for_twice(server, client):
    server.on('/system', answer(SYSTEM))
    assert type(error_of(client.delete, 'series', ID)) is NotFound
    assert [call.method for call in server.calls] == ['DELETE', 'GET', 'GET']


@pytest.mark.parametrize('system, second, error', [
        (SYSTEM, answer({'ID': ID}), BadAnswer),
        (SYSTEM, faults.html(404), BadAnswer),
        (SYSTEM, faults.html(), BadAnswer),
        (SYSTEM, status(500), ServerError),
        ({}, status(404), NotOrthanc),
        ])
def test_missing_only_when_a_second_look_says_the_same(
        server, client, system, second, error):
    server.on('', status(404), method='DELETE')
    server.on('/system', answer(system))
    server.on('', second)
    assert type(error_of(client.delete, 'series', ID)) is error


@pytest.fixture
def study(server):
    "The id of a study on the server, with an image."
    server.on('^/studies', answer({'ID': OTHER, 'Series': [ID]}))
    server.on('^/tools/bulk-content', answer([
                {'ID': ID, 'MainDicomTags': {}, 'Instances': [ID]}]))
    server.on('/simplified-tags$', answer({
                'PatientID': '1', 'PatientName': 'Núñez^José',
                'PatientSex': 'male', 'StudyInstanceUID': '1.2.3',
                'StudyTime': '1015'}))
    return OTHER


def uploaded(study=OTHER, **values):
    return answer({
            'ID': ID, 'ParentStudy': study, 'Status': 'Success', **values})


def test_store_pdf(server, client, study):
    files = []

    def store(exchange):
        files.append(exchange.read())
        return uploaded()(exchange)
    server.on('^/instances$', store, method='POST')
    assert client.store_pdf(
        study, b'%PDF-1.4\n%', {'SeriesDescription': 'Report'}) == ID
    file = dcmread(io.BytesIO(files[0]))
    assert file.SOPClassUID.name == 'Encapsulated PDF Storage'
    assert file.EncapsulatedDocument == b'%PDF-1.4\n%'
    assert file.PatientName == 'Núñez^José'
    assert file.SpecificCharacterSet == 'ISO_IR 192'
    assert (file.PatientID, file.StudyInstanceUID) == ('1', '1.2.3')
    assert (file.PatientSex, file.PatientBirthDate) == ('', '')
    assert (file.StudyTime, file.StudyDate) == ('1015', '')
    assert 'IssuerOfPatientID' not in file
    assert file.SeriesDescription == 'Report'


@pytest.mark.parametrize('pdf, values', [
        (b'', {}), (b'<html>', {}), (b'%PDF-1.4', {'PatientID': '1'}),
        (b'%PDF-1.4', {'StudyInstanceUID': '1'}),
        (b'%PDF-1.4', {'Nonsense': '1'}), (b'%PDF-1.4', {'0010,0020': '1'})])
def test_store_pdf_refuses(server, client, study, pdf, values):
    with pytest.raises(ValueError):
        client.store_pdf(study, pdf, values)
    assert server.count('^/instances$') == 0


@pytest.mark.parametrize('value', [None, [], {}, {'ID': 3}])
def test_wrong_answer_to_store_pdf(server, client, study, value):
    server.on('^/instances$', answer(value))
    error = error_of(client.store_pdf, study, b'%PDF-1.4', {})
    assert type(error) is BadAnswer


def test_pdf_that_is_filed_elsewhere_is_taken_back(server, client, study):
    server.on('^/instances$', uploaded(study=ID))
    server.on(f'^/instances/{ID}$', answer({'RemainingAncestor': None}),
        method='DELETE')
    error = error_of(client.store_pdf, study, b'%PDF-1.4', {})
    assert type(error) is BadAnswer
    assert server.count(f'^/instances/{ID}$', 'DELETE') == 1


def test_pdf_that_is_there_already(server, client, study):
    server.on('^/instances$', uploaded(Status='AlreadyStored'))
    assert client.store_pdf(study, b'%PDF-1.4', {}) == ID


@pytest.mark.parametrize('reply, error', [
        (uploaded(Status='FilteredOut'), Forbidden),
        (answer({'Message': "Bad file format"}, 400), BadRequest),
        (status(403), Forbidden), (status(405), MethodNotAllowed),
        (status(413), UploadTooLarge), (status(507), StorageFull)])
def test_pdf_that_the_server_refuses(server, client, study, reply, error):
    server.on('/system', answer(SYSTEM))
    server.on('^/instances$', reply)
    assert type(error_of(
            client.store_pdf, study, b'%PDF-1.4', {})) is error


@each_break
def test_a_pdf_is_never_sent_again(server, client, study, fault):
    server.on('/system', answer(SYSTEM))
    server.on('^/instances$', fault)
    assert type(error_of(
            client.store_pdf, study, b'%PDF-1.4', {})) is ConnectionLost
    assert server.count('^/instances$') == 1


def test_store_pdf_in_a_study_that_is_not_there(server, client):
    server.on('^/studies', answer({'Message': "Unknown"}, 404))
    assert type(error_of(
            client.store_pdf, OTHER, b'%PDF-1.4', {})) is NotFound


def test_store_pdf_in_a_study_without_images(server, client):
    server.on('^/studies', answer({'ID': OTHER, 'Series': []}))
    assert type(error_of(
            client.store_pdf, OTHER, b'%PDF-1.4', {})) is BadAnswer


# The protocol

@pytest.mark.parametrize('name', [
        name for name in vars(Pacs) if name[0] != '_'])
def test_the_client_can_what_a_pacs_must(name):
    wanted = inspect.signature(getattr(Pacs, name)).parameters
    own = inspect.signature(getattr(OrthancClient, name)).parameters
    assert list(own)[:len(wanted)] == list(wanted)
    assert all(
        parameter.default is not inspect.Parameter.empty
        for parameter in list(own.values())[len(wanted):])


def test_what_cannot_be_understood_has_no_values(server, client):
    good = {'ID': ID, 'ParentStudy': OTHER}
    server.on('bulk-content', answer([good, {'ID': ID}, None, 3]))
    found, *others = client.series([ID])
    assert (found.id, found.study) == (ID, OTHER)
    assert others == [None] * 3


def test_changes_tell_what_may_be_new():
    changes = [
        {'ChangeType': kind, 'ResourceType': level, 'ID': id_}
        for kind, level, id_ in [
            ('NewInstance', 'Instance', 'a'), ('NewStudy', 'Study', 'b'),
            ('AttachmentUpdated', 'Study', 'c'), ('Odd', 'Planet', 'd'),
            ('UpdatedAttachment', 'Series', 'f'),
            (None, 'Series', 5), ('Odd', ['Study'], 'e')]]
    assert Changes([*changes, {}], 9, True).ids() == {
        'instances': ['a'], 'studies': ['c'], 'series': ['5']}
