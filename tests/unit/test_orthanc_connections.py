# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""HTTP connections that are kept for the next who asks."""
import os
import threading
import time

import pytest
from support.fault_server import FaultServer, Reply, answer, drop, reset

from trytond.modules.health_orthanc.archive import connections as module
from trytond.modules.health_orthanc.archive.connections import Connections
from trytond.modules.health_orthanc.archive.errors import OrthancError
from trytond.modules.health_orthanc.archive.session import Session


@pytest.fixture
def server():
    with FaultServer() as server:
        server.on('^/$', answer(b'{}'))
        yield server


@pytest.fixture
def kept():
    kept = Connections()
    yield kept
    kept.close()


def ask(server, kept, password='p', path='/', **options):
    with Session(server.url, 'u', password, kept=kept) as session:
        return session.request('GET', path, **options)


def test_one_after_the_other_takes_the_same(server, kept):
    for _ in range(5):
        ask(server, kept)
    assert server.accepted == 1
    # Not for what must not be sent twice
    ask(server, kept, repeat=False)
    assert server.accepted == 2


def test_who_has_another_password_gets_another_one(server, kept):
    ask(server, kept, 'old')
    old, = kept._idle
    ask(server, kept, 'new')
    assert server.accepted == 2
    assert old[2].sock is None
    assert len(kept._idle) == 1


def test_each_thread_has_its_own(server, kept):
    count = module.MOST + 3
    together = threading.Barrier(count, timeout=30)

    def wait(exchange):
        together.wait()
        return Reply(200)
    server.on('/together', wait)
    threads = [
        threading.Thread(target=ask, args=(server, kept, 'p', '/together'))
        for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert server.accepted == count
    assert len(kept._idle) == module.MOST
    ask(server, kept)
    assert server.accepted == count


def test_they_end(server, kept, monkeypatch):
    monkeypatch.setattr(module, 'IDLE', 0.1)
    ask(server, kept)
    end = time.monotonic() + 5
    while kept._idle:
        assert time.monotonic() < end
        time.sleep(0.02)
    monkeypatch.setattr(module, 'AGE', -1)
    ask(server, kept)
    assert not kept._idle


def test_what_the_server_closed_is_not_used(server, kept):
    ask(server, kept)
    server.stop()
    server.start()
    ask(server, kept)
    assert server.accepted == 2


def test_what_ends_when_it_is_used_is_asked_again_if_it_may_be(server, kept):
    "The server may close it in the very moment."
    server.on('^/gone', drop(), nth=1)
    server.on('^/gone', answer(b'{}'))
    ask(server, kept)
    assert ask(server, kept, path='/gone').body == b'{}'
    assert (server.count('/gone'), server.accepted) == (2, 2)


@pytest.mark.parametrize('method', ['POST', 'DELETE'])
def test_what_changes_something_is_sent_once_on_a_new_one(
        server, kept, method):
    server.on('^/change', drop())
    ask(server, kept)
    with Session(server.url, 'u', 'p', kept=kept) as session:
        with pytest.raises(OrthancError):
            session.request(method, '/change', b'x', repeat=False)
    assert (server.count('/change'), server.accepted) == (1, 2)


def test_few_wait_for_many_servers(kept):
    for _ in range(module.MOST_OF_ALL + 3):
        with FaultServer() as server:
            server.on('^/$', answer(b'{}'))
            ask(server, kept)
    waiting = [connection for *_, connection in kept._idle]
    assert len(waiting) == module.MOST_OF_ALL
    kept.close()
    assert not any(connection.sock for connection in waiting)


def test_what_broke_is_not_kept(server, kept):
    server.on('/broken', reset(keep=0.5, body=b'{"a": 1}'))
    with pytest.raises(OrthancError):
        ask(server, kept, path='/broken')
    assert not kept._idle


def test_what_was_interrupted_is_not_kept(server, kept):
    def look(response):
        raise KeyboardInterrupt
    with pytest.raises(KeyboardInterrupt):
        ask(server, kept, look=look)
    assert not kept._idle


def test_a_child_process_has_none(server, kept):
    ask(server, kept)
    child = os.fork()
    if not child:
        os._exit(len(kept._idle))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    ask(server, kept)
    assert server.accepted == 1
