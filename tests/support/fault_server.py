# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""An HTTP server on the loopback interface that does what a test tells it:
it refuses, resets, truncates, drips, lies, hangs, or stands as a proxy before
a real Orthanc and does so for some requests only.

    with FaultServer(orthanc.url) as server:
        server.on('/tools/bulk-content', reset(keep=0.5), nth=2)
        server.on('^/instances', status(403), method='POST')
        server.on('/statistics', change(lambda s: {**s, 'CountStudies': 0}))
        ...  # use server.url
        assert server.count('/changes') == 1

A request that no rule takes is forwarded to the server behind; without one
it is answered with 404, as Orthanc does.  ``with server.refusing():`` closes
the port for a while.

A fault is a function that gets an Exchange: it returns the Reply to send, or
None when it dealt with the connection itself.
"""
import gzip
import http.client
import json
import re
import select
import socket
import socketserver
import ssl
import struct
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from typing import NamedTuple
from urllib.parse import urlsplit

HOST = '127.0.0.1'
PIECE = 2 ** 16
HOP_BY_HOP = {'connection', 'host', 'keep-alive', 'transfer-encoding'}

#: What a server must say about itself to be taken for an Orthanc.
SYSTEM = {
    'ApiVersion': 16,
    'DicomAet': 'FAULTS',
    'Name': "Fault server",
    'Version': '1.10.1',
    }


class Reply(NamedTuple):
    """An HTTP answer.

    :ivar status: int
    :ivar body: bytes
    :ivar headers: dict; Content-Length is added when it is missing
    """
    status: int = 200
    body: bytes = b''
    headers: dict = {}

    def head(self):
        "The status line and the headers as they are sent, bytes."
        headers = dict(self.headers)
        if not any(name.lower() == 'content-length' for name in headers):
            headers['Content-Length'] = len(self.body)
        reason = http.client.responses.get(self.status, 'Unknown')
        lines = [f'HTTP/1.1 {self.status} {reason}']
        lines += [f'{name}: {value}' for name, value in headers.items()]
        return '\r\n'.join([*lines, '', '']).encode('latin-1')


class Call(NamedTuple):
    """A request that came in.

    :ivar number: from 1, among all requests of the server
    :ivar method: such as GET
    :ivar path: with the query
    :ivar headers: dict, names in lower case
    :ivar port: the caller's end of the connection
    :ivar at: when it came, seconds of time.monotonic
    """
    number: int
    method: str
    path: str
    headers: dict
    port: int
    at: float


class Rule:
    "Which requests get which fault; see FaultServer.on."

    def __init__(self, pattern, fault, method, nth, times):
        self.pattern = re.compile(pattern)
        self.fault = fault
        self.method = method
        self.nth = {nth} if isinstance(nth, int) else nth
        self.times = times
        self.matched = 0
        self.applied = 0

    def fits(self, call):
        "Whether method and path fit; such requests are counted."
        fits = (
            self.method in {None, call.method}
            and bool(self.pattern.search(call.path)))
        self.matched += fits
        return fits

    def wants(self):
        "Whether the request that was counted last gets the fault."
        if self.nth is not None and self.matched not in self.nth:
            return False
        return self.times is None or self.applied < self.times


class Exchange:
    """A request and the connection it came by, as a fault sees it.

    :ivar call: the Call
    :ivar server: the FaultServer
    """

    def __init__(self, server, handler, call):
        self.server = server
        self.call = call
        self._handler = handler
        self._unread = int(call.headers.get('content-length') or 0)
        self._reply = None

    def read(self, size=None):
        "Read the rest of the request's body, or up to size bytes of it."
        size = self._unread if size is None else min(size, self._unread)
        data = self._handler.rfile.read(size)
        self._unread -= len(data)
        return data

    def discard(self):
        "Read the request to its end without keeping it."
        while self._unread and self.read(PIECE):
            pass

    def forward(self):
        """Let the server behind do what is asked, and return its Reply; a 404
        without a body when there is none."""
        if self._reply is None:
            if self.server.target:
                self._reply = self._forwarded()
            else:
                self.discard()
                self._reply = Reply(404)
        return self._reply

    def _forwarded(self):
        target = urlsplit(self.server.target)
        connection = http.client.HTTPConnection(
            target.hostname, target.port or 80, timeout=300)
        headers = {
            name: value for name, value in self.call.headers.items()
            if name not in HOP_BY_HOP | {'accept-encoding'}}
        body = iter(lambda: self.read(PIECE), b'') if self._unread else None
        try:
            connection.request(
                self.call.method, target.path + self.call.path, body, headers)
            response = connection.getresponse()
            return Reply(
                response.status, response.read(), {
                    name: value for name, value in response.getheaders()
                    if name.lower() not in HOP_BY_HOP})
        finally:
            connection.close()

    def write(self, data):
        "Send bytes as they are."
        self._handler.wfile.write(data)

    def send(self, reply):
        "Send a whole answer; the connection is kept."
        self._handler.close_connection = bool(self._unread)
        self.write(reply.head())
        if self.call.method != 'HEAD':
            self.write(reply.body)

    def close(self, reset=False):
        "Close the connection, with a reset when asked for."
        connection = self._handler.connection
        self._handler.close_connection = True
        if reset:
            connection.setsockopt(
                socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
            _close_now(connection)
        else:
            _shut(connection)

    def wait(self, seconds=None):
        """Wait until the time is over, the caller hangs up or the server
        ends; return whether the time is over."""
        end = None if seconds is None else time.monotonic() + seconds
        while not self.server.stopping:
            if end is not None and time.monotonic() >= end:
                return True
            if self._hung_up():
                return False
        return False

    def _hung_up(self):
        connection = self._handler.connection
        try:
            if not select.select([connection], [], [], 0.02)[0]:
                return False
            if isinstance(connection, ssl.SSLSocket) or self._unread:
                time.sleep(0.02)
                return False
            return not connection.recv(1, socket.MSG_PEEK)
        except (OSError, ValueError):
            return True


def _shut(connection):
    try:
        socket.socket.shutdown(connection, socket.SHUT_RDWR)
    except OSError:
        pass


def _close_now(connection):
    "Close a socket although files on it are still open."
    try:
        descriptor = connection.detach()
    except OSError:
        return
    if descriptor >= 0:
        socket.close(descriptor)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'
    wbufsize = 0
    disable_nagle_algorithm = True

    def _do(self):
        owner = self.server.owner
        exchange = Exchange(owner, self, owner._record(self))
        try:
            fault = owner._fault(exchange.call)
            reply = fault(exchange) if fault else exchange.forward()
            if reply is not None:
                exchange.send(reply)
        except (OSError, http.client.HTTPException):
            self.close_connection = True

    do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = _do

    def finish(self):
        try:
            super().finish()
        except OSError:
            pass

    def log_message(self, *args):
        pass


class _Listener(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    block_on_close = False
    request_queue_size = 50

    def __init__(self, owner, port):
        self.owner = owner
        self.connections = set()
        super().__init__((HOST, port), _Handler)

    def finish_request(self, request, client_address):
        if self.owner._tls:
            request.settimeout(5)
            request = self.owner._tls.wrap_socket(request, server_side=True)
            request.settimeout(None)
        self.connections.add(request)
        self.owner.accepted += 1
        try:
            super().finish_request(request, client_address)
        finally:
            self.connections.discard(request)
            if self.owner._tls:
                _shut(request)
                request.close()

    def handle_error(self, request, client_address):
        pass

    def close(self):
        self.shutdown()
        self.server_close()
        for connection in list(self.connections):
            _shut(connection)


class FaultServer:
    """The server, started and stopped by ``with``.

    :param target: the address of the server behind (http), None: none
    :param tls: names of the files with certificate and key, to speak https
    :ivar calls: the requests that came in, list of Call
    :ivar int accepted: how many connections they came by
    """

    def __init__(self, target=None, tls=None):
        self.target = target.rstrip('/') if target else None
        self.calls = []
        self.accepted = 0
        self.stopping = False
        self.port = 0
        self._lock = threading.Lock()
        self._rules = []
        self._listener = None
        self._tls = None
        if tls:
            self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self._tls.load_cert_chain(*tls)

    @property
    def url(self):
        "The address of the server, without a slash at the end."
        return f"http{'s' if self._tls else ''}://{HOST}:{self.port}"

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *exception):
        self.stop()

    def start(self):
        "Listen, on the same port as before."
        self.stopping = False
        self._listener = _Listener(self, self.port)
        self.port = self._listener.server_address[1]
        threading.Thread(
            target=self._listener.serve_forever, args=(0.02,),
            daemon=True).start()

    def stop(self):
        "Close the port and all connections."
        self.stopping = True
        if self._listener:
            self._listener.close()
            self._listener = None

    @contextmanager
    def refusing(self):
        "Refuse connections inside the block; those that exist are cut."
        self.stop()
        try:
            yield
        finally:
            self.start()

    def on(self, pattern, fault, method=None, nth=None, times=None):
        """Let a fault happen to some requests, and return the Rule.

        The rule that was given first wins.

        :param pattern: a regular expression that is found in the path with
            its query
        :param fault: such as ``status(500)``
        :param method: only for this method
        :param nth: only for these of the requests that fit, from 1; an int or
            a set, list or range of them
        :param times: only as often as this
        """
        rule = Rule(pattern, fault, method, nth, times)
        with self._lock:
            self._rules.append(rule)
        return rule

    def clear(self):
        "Forget all rules and all requests."
        with self._lock:
            self._rules.clear()
            self.calls.clear()

    def count(self, pattern='', method=None):
        "Return how many requests had a path that fits a regular expression."
        return sum(
            method in {None, call.method}
            and bool(re.search(pattern, call.path)) for call in self.calls)

    def _record(self, handler):
        headers = {n.lower(): v for n, v in handler.headers.items()}
        with self._lock:
            call = Call(
                len(self.calls) + 1, handler.command, handler.path, headers,
                handler.client_address[1], time.monotonic())
            self.calls.append(call)
        return call

    def _fault(self, call):
        with self._lock:
            fitting = [rule for rule in self._rules if rule.fits(call)]
            for rule in fitting:
                if rule.wants():
                    rule.applied += 1
                    return rule.fault


# What can go wrong

def answer(body=b'', status=200, headers=None):
    """Answer without asking the server behind.

    :param body: bytes or str as they are, anything else as JSON
    """
    headers = dict(headers or {})
    if not isinstance(body, (bytes, str)):
        body = json.dumps(body)
        headers.setdefault('Content-Type', 'application/json')
    if isinstance(body, str):
        body = body.encode('utf-8', 'surrogatepass')

    def fault(exchange):
        exchange.discard()
        return Reply(status, body, headers)
    return fault


def status(code, body=b''):
    "Answer with a status, such as 401 or 503."
    return answer(body, code)


def early(code):
    "Answer with a status before the request was read, and hang up."
    def fault(exchange):
        exchange.send(Reply(code))
        exchange.close()
    return fault


def html(code=200):
    "Answer with a web page, as a login form or a proxy does."
    return answer(
        "<!DOCTYPE html><html><title>Welcome</title></html>", code,
        {'Content-Type': 'text/html'})


def redirect(location, code=302):
    "Send the caller to another address."
    return answer(status=code, headers={'Location': location})


def change(function):
    """Change the JSON of the server behind.

    :param function: gets the parsed answer and returns another one
    """
    def fault(exchange):
        reply = exchange.forward()
        value = function(json.loads(reply.body))
        return Reply(
            reply.status, json.dumps(value).encode(),
            {'Content-Type': 'application/json'})
    return fault


def after(function):
    """Call a function when the server behind has answered and before the
    caller learns it, such as one that deletes a study."""
    def fault(exchange):
        reply = exchange.forward()
        function()
        return reply
    return fault


def delay(seconds, fault=None):
    "Wait before the server behind, or another fault, gets the request."
    def delayed(exchange):
        if exchange.wait(seconds):
            return fault(exchange) if fault else exchange.forward()
        exchange.close()
    return delayed


def hang():
    "Never answer; the server behind learns nothing."
    def fault(exchange):
        exchange.discard()
        exchange.wait()
        exchange.close()
    return fault


def drop():
    "Reset the connection before the server behind learns anything."
    def fault(exchange):
        exchange.close(reset=True)
    return fault


def reset(keep=0, body=None):
    """Let the server behind do what is asked, then reset the connection.

    :param keep: how much of its answer is sent before: bytes, or a float as
        the part of its body; 0: nothing at all
    :param body: what to send instead of its answer, bytes
    """
    return _cut(keep, body, True)


def truncate(keep=0, body=None):
    "The same as reset, but the connection is closed as if all were well."
    return _cut(keep, body, False)


def _cut(keep, body, with_reset):
    def fault(exchange):
        if body is None:
            reply = exchange.forward()
        else:
            exchange.discard()
            reply = Reply(200, body)
        count = keep
        if isinstance(keep, float):
            count = int(len(reply.body) * keep)
        if count:
            exchange.write(reply.head() + reply.body[:count])
            # A reset takes away what the caller has not read yet.
            exchange.wait(0.1)
        exchange.close(with_reset)
    return fault


def drip(pause, headers=False, body=None):
    """Send an answer byte by byte.

    :param pause: the seconds between two bytes
    :param headers: whether status line and headers drip too
    :param body: what to send instead of the answer of the server behind
    """
    def fault(exchange):
        if body is None:
            reply = exchange.forward()
        else:
            exchange.discard()
            reply = Reply(200, body)
        data = reply.head() + reply.body
        fast = 0 if headers else len(reply.head())
        exchange.write(data[:fast])
        for i in range(fast, len(data)):
            if not exchange.wait(pause):
                break
            exchange.write(data[i:i + 1])
        exchange.close()
    return fault


def endless(start=b'[', piece=b'"x",' * 4096, head=None):
    """Answer without end.

    :param start: how the body begins
    :param piece: what is repeated then
    :param head: status line and headers, bytes, default those of JSON
    """
    head = head or (
        b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n'
        b'Connection: close\r\n\r\n')

    def fault(exchange):
        exchange.discard()
        exchange.write(head + start)
        while not exchange.server.stopping:
            exchange.write(piece)
    return fault


def bomb(size, start=b'"', piece=b' '):
    "Answer with a body that is small on the way and large when unpacked."
    packed = gzip.compress(start + piece * size)
    return answer(packed, headers={
            'Content-Type': 'application/json', 'Content-Encoding': 'gzip'})


def garbage(data=b'SSH-2.0-OpenSSH_9.2\r\n'):
    "Answer with something that is no HTTP."
    def fault(exchange):
        exchange.write(data)
        exchange.wait(0.05)
        exchange.close()
    return fault
