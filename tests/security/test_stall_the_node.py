# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Somebody in the network of the modalities, who is no machine, asks the node
for the worklist, or keeps it from answering those who are."""
import contextlib
import re
import socket

from live.test_modality_node import (
    ECHO, STEP, WORKLIST, Received, filled, make_node, say, stand_in)
from unit.test_node_parts import step_attributes
from unit.test_script_connection import wait_for
from unit.test_worklist_script import make_entry

__all__ = ['make_node', 'say', 'stand_in']


def test_strangers_are_sent_away_and_listed(say, stand_in, make_node):
    say([make_entry(1)])
    node = make_node()
    filled(node, 'CT1', 1)
    for title in ['XX', 'ct1', 'CT1' + 'X' * 13]:
        for service in (WORKLIST, STEP, ECHO):
            with node.associated(title, service) as association:
                wait_for(lambda: association.is_rejected
                    or association.is_aborted)
    with node.associated('CT1', ECHO) as association:
        assert association.send_c_echo().Status == 0
    received, told = Received(stand_in), {}

    def is_told():
        received.update()
        told.update((who['ae_title'], who) for who in received.asked)
        return {'XX', 'ct1', 'CT1XXXXXXXXXXXXX', 'CT1'} <= set(told)
    wait_for(is_told)
    who = told['XX']
    assert not who['known'] and who['address'] == '127.0.0.1'
    assert re.fullmatch(r'\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d', who['at'])
    assert who['age'] >= 0
    who = told['CT1']
    assert who['known'] and who['entries'] == 1
    assert node.text.count("The AE title XX at 127.0.0.1") <= 3


def test_bounds(say, make_node):
    node = make_node('--associations', '2', '--idle', '1')
    wait_for(lambda: 'Machines: 4' in node.text)
    # A PDU of 2 GB, one that drips, none at all, and no DICOM.
    clients = []
    for data in [b'\1\0\x80\0\0\0' + b'x' * 99, b'\1\0\0\0\1', b'',
            b'GET / HTTP/1.1\r\n\r\n']:
        client = socket.create_connection(('127.0.0.1', node.port))
        client.settimeout(20)
        client.sendall(data)
        clients.append(client)
    for client in clients:
        with contextlib.suppress(ConnectionError):
            while client.recv(1000):
                pass
        client.close()
    with contextlib.ExitStack() as stack:
        for _ in range(2):
            # Those before end a moment after their connections.
            wait_for(lambda: stack.enter_context(
                    node.associated()).is_established)
        third = stack.enter_context(node.associated())
        assert not third.is_established
    # Who is silent is not waited for.
    with node.associated() as association:
        wait_for(lambda: not association.is_established)
    # A message that is too large is not taken.
    with node.associated(service=STEP) as association:
        large = step_attributes(CommentsOnThePerformedProcedureStep='x' * 9000)
        assert association.send_n_create(large, STEP, '2.25.1')[0].Status == 0
        large.add_new(0x00091001, 'OB', b'x' * 6_000_000)
        answered, _ = association.send_n_create(large, STEP, '2.25.2')
        assert 'Status' not in answered
