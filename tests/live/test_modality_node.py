# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The modality node as modalities meet it: its own process, asked with dcmtk,
CTN, pynetdicom and dcmjs-dimse, while a trytond answers as it is told, fails,
or is away.
"""
import contextlib
import itertools
import json
import os
import random
import re
import socket
import ssl
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import npm
import pytest
from pydicom.dataset import Dataset
from pynetdicom import AE
from run import cache_folder
from services import Process, free_port
from support.fault_server import FaultServer, hang, status
from unit.test_node_parts import keys, machine, step_attributes
from unit.test_script_connection import (
    DATABASE, PASSWORD, ROOT, SCRIPTS, assert_one_sentence, certificate,
    environment, run, stand_in, wait_for, worklist)
from unit.test_worklist_script import make_entry

NODE = SCRIPTS / 'modality_node.py'
WORKLIST = '1.2.840.10008.5.1.4.31'
STEP = '1.2.840.10008.3.1.2.3.3'
#: How many messages are sent while the node is killed; tox -e killed sends
#: more.
KILLED_MESSAGES = int(os.environ.get('NODE_MESSAGES', 150))
ECHO = '1.2.840.10008.1.1'
MACHINES = [
    machine('CT1'), machine('CT2', charset='ISO_IR 100'),
    machine('MR1', 'MR', 'ISO_IR 101'), machine('ANY', '')]
__all__ = ['certificate', 'stand_in']


class Node(Process):
    "A running modality node of a stand-in of GNU Health."

    def __init__(self, folder, stand_in, *options, port=None):
        self.port = free_port()
        self.data = folder / 'data'
        self.folder = folder
        secret = folder / 'secret'
        secret.touch(mode=0o600)
        secret.write_text(PASSWORD)
        super().__init__([
                sys.executable, NODE, '-H', '127.0.0.1', '-p',
                port or stand_in.server.port, '-d', DATABASE,
                '--password-file', secret, '--data', self.data,
                '--port', self.port, '-s', '.1', '-v', *options],
            folder / 'node.log', environment())

    def start(self):
        "Start, and wait until it listens."
        begin = len(self.text)
        super().start()
        wait_for(lambda: ' listens at ' in self.text[begin:])
        return self

    @property
    def text(self):
        "What it printed."
        return self.log.read_text() if self.log.exists() else ''

    @contextlib.contextmanager
    def associated(self, title='CT1', service=WORKLIST, **options):
        "Give an association of a machine."
        entity = AE(title)
        entity.add_requested_context(service)
        association = entity.associate(
            '127.0.0.1', self.port, ae_title='GNUHEALTH', **options)
        try:
            yield association
        finally:
            if association.is_established:
                association.release()

    def find(self, query, title='CT1', **options):
        "Return the answers to a query, and the last status."
        with self.associated(title, **options) as association:
            assert association.is_established
            *answers, (last, _) = association.send_c_find(query, WORKLIST)
            return [answer for _, answer in answers], last

    def ids(self, title='CT1', **values):
        "Return the numbers of the entries that a machine gets."
        answers, last = self.find(
            keys({'Modality': ''}, AccessionNumber='', **values), title)
        assert last.Status == 0
        return sorted(str(answer.AccessionNumber) for answer in answers)


@pytest.fixture
def say(stand_in):
    "Let GNU Health have machines and entries; forget former calls."
    def say(entries=(), machines=MACHINES, **answers):
        stand_in.say(entries=worklist(entries), machines=machines,
            receive=[], **answers)
        stand_in.calls()
    say([])
    return say


@pytest.fixture
def make_node(tmp_path, stand_in):
    "Return a function that starts a node."
    nodes = []

    def make(*options, **values):
        nodes.append(Node(tmp_path, stand_in, *options, **values))
        return nodes[-1].start()
    yield make
    for node in nodes:
        node.stop()
    for node in nodes:
        assert 'Traceback' not in node.text
        assert "should not happen" not in node.text


def filled(node, title, count):
    "Wait until a machine gets so many entries."
    wait_for(lambda: re.search(
        r'Machines: \d', node.text) and len(node.ids(title)) == count, 60)


# The worklist

def test_each_machine_gets_its_entries_in_its_letters(say, make_node):
    name = '\u010capek^\u0141ucja'
    say([
            make_entry(1, name=name), make_entry(2, name=name, aetitle='CT2'),
            make_entry(3, name=name, aetitle='', modality='MR'),
            make_entry(4, name=name, aetitle='', modality='CT')])
    node = make_node()
    filled(node, 'CT1', 2)
    asked = keys({'ScheduledStationAETitle': ''}, PatientName='capek*',
        SpecificCharacterSet='ISO_IR 192')
    for title, charset, expected, count in [
            ('CT1', 'ISO_IR 192', name, 2),
            ('CT2', 'ISO_IR 100', 'Capek^Lucja', 2),
            ('MR1', 'ISO_IR 101', name, 1),
            ('ANY', 'ISO_IR 192', name, 2)]:
        asked.ScheduledProcedureStepSequence[
            0].ScheduledStationAETitle = title
        if title == 'ANY':
            # It may have all that name no machine.
            asked.ScheduledProcedureStepSequence[
                0].ScheduledStationAETitle = ''
        answers, last = node.find(asked, title)
        assert last.Status == 0 and len(answers) == count, title
        for answer in answers:
            assert answer.PatientName == expected
            assert answer.SpecificCharacterSet == charset
            assert answer.ScheduledProcedureStepSequence[
                0].ScheduledStationAETitle == title
    # What changes arrives without a restart.
    say([make_entry(1)], [machine('CT1', charset='ISO 2022 IR 6')])
    wait_for(lambda: 'Machines: 1' in node.text)
    filled(node, 'CT1', 1)
    # Names of patients are in no log.
    assert not re.search('apek|Lucja|Test', node.text)


def findscu(node, folder, *keys_, title='CT1'):
    "Ask with dcmtk; return how many answers there are."
    done = subprocess.run(
        ['findscu', '-W', '-v', '-aet', title, '-aec', 'GNUHEALTH',
            '127.0.0.1', str(node.port),
            *(word for key in keys_ for word in ['-k', key])],
        cwd=folder, capture_output=True, text=True, errors='replace',
        timeout=60)
    assert done.returncode == 0, done.stderr
    output = done.stdout + done.stderr
    assert 'Received Final Find Response (Success)' in output
    return len(re.findall(r'Find Response: \d+ \(Pending\)', output))


# Queries as modalities were seen to send them: a name with a wildcard at its
# end or alone, dates with one end, the date and time of one day, no sequence,
# an empty one, a level of query and retrieve, keys of other services.
QUERIES = {
    ('0010,0010=DOE*', '0040,0100[0].0008,0060=CT'): 2,
    ('0010,0010=*', '0010,0020=*', '0040,0100[0].0040,0002'): 3,
    ('0010,0010=Doe^J?n*',): 1,
    ('0010,0010', '0010,0020', '0020,000d'): 3,
    ('0040,0100',): 3,
    ('0040,0100[0].0040,0002=20261121-', '0040,0100[0].0008,0060'): 3,
    ('0040,0100[0].0040,0002=-20261120',): 0,
    ('0040,0100[0].0040,0002=20261121', '0040,0100[0].0040,0003=0800-1030'): 3,
    ('0040,0100[0].0040,0002=20261120-20261121',
        '0040,0100[0].0040,0003=000000-235959'): 3,
    ('0040,0100[0].0040,0003=-0900',): 0,
    ('0008,0052=WORKLIST', '0010,0010', '0040,0100[0].0040,0001=CT1'): 3,
    ('0040,0100[0].0040,0001=CT*', '0040,1001', '0032,1060',
        '0008,1110[0].0008,1150'): 3,
    ('0008,0050=S2', '0038,0010', '0010,2000', '0038,0500'): 1,
    ('0020,000d=2.25.1001\\2.25.1003',): 2,
    ('0008,0005=ISO_IR 100', '0010,0010=M\xfcller*'): 1,
    }


def test_queries_of_dcmtk_and_ctn(say, make_node, tmp_path):
    say([
            make_entry(1, name='Doe^Jon'), make_entry(2, name='Doe^Mary'),
            make_entry(3, name='M\xfcller^X')])
    node = make_node()
    filled(node, 'CT1', 3)
    for query, expected in QUERIES.items():
        query = [key.encode('latin-1') for key in query]
        assert findscu(node, tmp_path, *query) == expected, query
    query = keys({'Modality': 'CT'}, PatientName='Doe^*', PatientID='')
    query.save_as(tmp_path / 'query', implicit_vr=True, little_endian=True)
    done = subprocess.run(
        ['mwlQuery', '-f', tmp_path / 'query', '-a', 'CT1', '-c', 'GNUHEALTH',
            '127.0.0.1', str(node.port)], stdin=subprocess.DEVNULL,
        capture_output=True, text=True, errors='replace', timeout=60)
    assert done.stdout.count('PAT Patient Name//Doe^') == 2, done
    assert 'Successful operation' in done.stdout


@pytest.fixture(scope='session')
def dimse():
    "A function that lets dcmjs-dimse do something, and returns what it got."
    folder = cache_folder() / 'dimse'
    npm.install(folder, npm.MODALITY, lambda made: [
            npm.fetch(name, made / name) for name in npm.MODALITY])

    def dimse(node, *requests, title='CT1'):
        done = subprocess.run(
            ['node', ROOT / 'tests' / 'support' / 'dimse.js'],
            input=json.dumps({
                    'port': node.port, 'title': title, 'requests': requests}),
            env=environment(NODE_PATH=str(folder)), capture_output=True,
            text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        return [json.loads(line) for line in done.stdout.splitlines()
            if line.startswith('{')]
    return dimse


def test_dcmjs_dimse(say, stand_in, make_node, dimse):
    say([make_entry(1, name='Doe^Jon'), make_entry(2, name='Roe^Jane')])
    node = make_node()
    filled(node, 'CT1', 2)
    received = Received(stand_in)
    answered = dimse(node, ['find', None, {
                'PatientName': 'Doe*', 'PatientID': '',
                'StudyInstanceUID': '', 'ScheduledProcedureStepSequence': [
                    {'Modality': 'CT', 'ScheduledStationAETitle': 'CT1',
                        'ScheduledProcedureStepStartDate': '20261121-'}]}])
    assert [a['status'] for a in answered] == [0xff00, 0]
    found = answered[0]['elements']
    assert found['StudyInstanceUID'] == '2.25.1001'
    begun = {
        'PerformedProcedureStepID': '1', 'Modality': 'CT',
        'PerformedStationAETitle': 'CT1',
        'PerformedProcedureStepStartDate': '20261121',
        'PerformedProcedureStepStartTime': '101600',
        'PerformedProcedureStepStatus': 'IN PROGRESS',
        'ScheduledStepAttributesSequence': [{
                'StudyInstanceUID': found['StudyInstanceUID']}]}
    answered = dimse(
        node, ['create', '2.25.8', begun], ['create', '2.25.8', begun],
        ['set', '2.25.8', {'PerformedProcedureStepStatus': 'DISCONTINUED'}],
        ['set', '2.25.8', {'PerformedProcedureStepStatus': 'COMPLETED'}],
        ['set', '2.25.9', {'PerformedProcedureStepStatus': 'COMPLETED'}])
    assert [a['status'] for a in answered] == [0, 0x0111, 0, 0x0110, 0x0112]
    wait_for(lambda: len(received.update()) == 2)
    assert received.pairs() == [('2.25.8', 'create'), ('2.25.8', 'set')]
    refused, = dimse(node, ['find', None, {'PatientName': ''}], title='XX')
    assert refused == {'kind': 'rejected', 'status': 3}


def test_query_that_is_none(say, make_node):
    say([make_entry(1)])
    node = make_node()
    filled(node, 'CT1', 1)
    answers, last = node.find(
        keys({'ScheduledProcedureStepStartDate': 'tomorrow'}))
    assert not answers and last.Status == 0xa900
    assert last.OffendingElement == 0x00400002


def test_a_query_can_be_canceled(say, make_node):
    count = 1500
    say([make_entry(id_) for id_ in range(1, count + 1)])
    node = make_node()
    filled(node, 'CT1', count)
    with node.associated() as association:
        answers = association.send_c_find(
            keys(PatientName=''), WORKLIST, msg_id=7)
        next(answers)
        association.send_c_cancel(7, query_model=WORKLIST)
        *more, (last, _) = answers
    assert last.Status == 0xfe00 and len(more) < count - 1
    wait_for(lambda: 'status FE00' in node.text)


def test_many_machines_at_once(say, make_node):
    machines = [machine(f'CT{number}') for number in range(20)]
    say([
            make_entry(id_, aetitle=f'CT{id_ % 20}', name=f'Doe^{id_}')
            for id_ in range(1, 401)], machines)
    node = make_node()
    filled(node, 'CT1', 20)

    def ask(number):
        return [node.ids(f'CT{number}', PatientName=f'Doe^{number or 20}*')
            for _ in range(3)]
    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(ask, range(20)))
    for number, found in enumerate(answers):
        assert found[0] == found[1] == found[2]
        assert f'S{number or 20}' in found[0]


# GNU Health is away

@pytest.fixture
def health(stand_in):
    "What stands between the node and GNU Health."
    with FaultServer(f'http://127.0.0.1:{stand_in.server.port}') as server:
        yield server


def send_steps(node, count, title='CT1', begin=0):
    """Begin and end steps, and return what was answered: pairs of UID and
    kind."""
    sent = []
    with node.associated(title, STEP) as association:
        for number in range(begin, begin + count):
            uid = f'2.25.{5_000_000 + number}'
            for kind, send in [
                    ('create', lambda: association.send_n_create(
                        step_attributes(), STEP, uid)),
                    ('set', lambda: association.send_n_set(
                        ended(), STEP, uid))]:
                answered, _ = send()
                if answered and answered.Status == 0:
                    sent.append((uid, kind))
                elif not answered:
                    return sent
    return sent


def ended(state='COMPLETED', **values):
    "Return the attributes with which a machine ends a step."
    attributes = Dataset()
    attributes.PerformedProcedureStepStatus = state
    attributes.PerformedProcedureStepEndDate = '20261121'
    attributes.PerformedProcedureStepEndTime = '102000'
    for keyword, value in values.items():
        setattr(attributes, keyword, value)
    return attributes


class Received:
    "What GNU Health got: messages by node and number, and who asked."

    def __init__(self, stand_in):
        self.file = Path(f'{stand_in.file}.calls')
        self.at = 0
        self.messages, self.order, self.asked = {}, [], []

    def update(self):
        "Look for more, and return the messages in the order of arrival."
        text = self.file.read_text()[self.at:] if self.file.exists() else ''
        # The last line may not be whole.
        lines = text[:text.rfind('\n') + 1]
        self.at += len(lines)
        for line in lines.splitlines():
            name, arguments = json.loads(line)
            if name == 'asked':
                self.asked += arguments[1]
            for message in arguments[1] if name == 'receive' else ():
                key = arguments[0], message['number']
                if key not in self.messages:
                    self.order.append(key)
                # Sent again, it is the same.
                assert self.messages.setdefault(key, message) == message
        return [self.messages[key] for key in self.order]

    def pairs(self):
        "Return UID and kind of what arrived."
        return [(m['uid'], m['kind']) for m in self.update()]


@pytest.mark.parametrize('fault', ['refused', 'hangs', 'fails'])
def test_gnu_health_is_away(say, stand_in, make_node, health, fault):
    say([make_entry(1)])
    node = make_node('--timeout', '1', port=health.port)
    filled(node, 'CT1', 1)
    received = Received(stand_in)
    with contextlib.ExitStack() as stack:
        if fault == 'refused':
            stack.enter_context(health.refusing())
        else:
            rule = hang() if fault == 'hangs' else status(502)
            health.on('', rule)
        wait_for(lambda: 'The worklist goes on as' in node.text)
        # What it knows is answered, also after a restart.
        assert node.ids() == ['S1']
        sent = send_steps(node, 5)
        node.kill()
        node.start()
        assert '1 machines' not in node.text and '10 messages wait' in (
            node.text)
        assert node.ids() == ['S1']
        sent += send_steps(node, 5, begin=5)
        assert len(sent) == 20 and not received.update()
        with node.associated('XX') as association:
            assert not association.is_established
    health.clear()
    wait_for(lambda: len(received.update()) == 20, 120)
    assert received.pairs() == sent
    wait_for(lambda: 'It works again.' in node.text, 120)
    wait_for(lambda: received.update() and any(
        who['ae_title'] == 'XX' for who in received.asked))


def test_worklist_that_is_too_old(say, make_node, health):
    say([make_entry(1)])
    node = make_node('--max-age', '.0005', '--timeout', '1',
        port=health.port)
    filled(node, 'CT1', 1)
    with health.refusing():
        time.sleep(3)
        answers, last = node.find(keys(PatientName=''))
        assert not answers and last.Status == 0xa700
        assert 'too old' in last.ErrorComment
        # What machines tell is taken.
        assert len(send_steps(node, 1)) == 2
    wait_for(lambda: 'It works again.' in node.text, 120)
    assert node.ids() == ['S1']


# What machines tell

def test_performed_steps_by_the_standard(say, stand_in, make_node):
    node = make_node()
    wait_for(lambda: 'Machines: 4' in node.text)
    received = Received(stand_in)
    with node.associated('CT1', STEP) as association:
        def create(uid=None, **values):
            return association.send_n_create(
                step_attributes(**values), STEP, uid)

        def set_(uid, attributes):
            answered, _ = association.send_n_set(attributes, STEP, uid)
            return answered.Status, answered.get('ErrorID')
        assert create('2.25.1')[0].Status == 0
        assert create('2.25.1')[0].Status == 0x0111
        assert create('2.25.2', PerformedProcedureStepStatus='COMPLETED')[
            0].Status == 0x0106
        assert create('2.25.2', PerformedProcedureStepID='')[
            0].Status == 0x0121
        missing = step_attributes()
        del missing.Modality
        assert association.send_n_create(missing, STEP, '2.25.2')[
            0].Status == 0x0120
        assert set_('2.25.2', ended()) == (0x0112, None)
        assert set_('2.25.1', ended('IN PROGRESS')) == (0, None)
        assert set_('2.25.1', ended('DONE')) == (0x0106, None)
        assert set_('2.25.1', ended(
                'DISCONTINUED', PatientName='Wang=\u738b',
                SpecificCharacterSet='ISO_IR 192')) == (0, None)
        assert set_('2.25.1', ended()) == (0x0110, 0xa710)
        # Unscheduled, a group case, an unknown patient: nothing is refused.
        item = Dataset()
        item.StudyInstanceUID = '2.25.9'
        group = step_attributes(PatientID='NOBODY')
        group.ScheduledStepAttributesSequence.append(item)
        assert association.send_n_create(group, STEP, '2.25.3')[
            0].Status == 0
        # The node chooses a UID where the machine has none.
        assert create()[0].Status == 0
        wait_for(lambda: len(received.update()) == 5)
        chosen = received.pairs()[-1][0]
        assert set_(chosen, ended()) == (0, None)
    wait_for(lambda: len(received.update()) == 6)
    assert received.pairs() == [
        ('2.25.1', 'create'), ('2.25.1', 'set'), ('2.25.1', 'set'),
        ('2.25.3', 'create'), (chosen, 'create'), (chosen, 'set')]
    messages = received.update()
    assert [m['number'] for m in messages] == [1, 2, 3, 4, 5, 6]
    assert messages[0]['ae_title'] == 'CT1'
    assert messages[0]['address'] == '127.0.0.1'
    assert re.fullmatch(
        r'\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}', messages[0]['received'])
    assert Dataset.from_json(messages[0]['attributes']) == step_attributes()
    assert messages[2]['attributes']['00100010']['Value'] == [
        {'Alphabetic': 'Wang', 'Ideographic': '\u738b'}]


def test_a_poisoned_message_stops_no_other(say, stand_in, make_node):
    node = make_node()
    wait_for(lambda: 'Machines: 4' in node.text)
    received = Received(stand_in)
    stand_in.say(receive=['2.25.5000001'])
    sent = send_steps(node, 5)
    good = {pair for pair in sent if pair[0] != '2.25.5000001'}
    wait_for(lambda: 'Messages of machines wait' in node.text, 120)
    wait_for(lambda: good <= set(received.pairs()), 120)
    stand_in.say(receive=[])
    wait_for(lambda: 'GNU Health has all messages again' in node.text, 120)
    assert set(received.pairs()) == set(sent)


def test_killed_at_any_moment(say, stand_in, make_node):
    "What was answered is not lost, and what is sent again is the same."
    node = make_node()
    wait_for(lambda: 'Machines: 4' in node.text)
    received = Received(stand_in)
    sent, lock, over = [], threading.Lock(), threading.Event()
    numbers, chance = itertools.count(), random.Random(7)

    def work(title):
        while not over.is_set():
            with lock:
                begin = 10 * next(numbers)
            with contextlib.suppress(Exception):
                done = send_steps(node, 10, title, begin)
                with lock:
                    sent.extend(done)
    threads = [
        threading.Thread(target=work, args=[title])
        for title in ('CT1', 'CT2', 'MR1', 'ANY')]
    for thread in threads:
        thread.start()
    kills = 0
    while len(sent) < KILLED_MESSAGES or kills < 3:
        time.sleep(chance.uniform(.2, 2))
        node.kill()
        kills += 1
        node.start()
    over.set()
    for thread in threads:
        thread.join()
    wait_for(lambda: set(sent) <= set(received.pairs()), 120)
    pairs = received.pairs()
    # Nothing twice, no number twice, and no end before its beginning.
    assert len(set(pairs)) == len(pairs)
    assert len({key[0] for key in received.order}) == 1
    begun = set()
    for uid, kind in pairs:
        assert kind == 'create' or uid in begun
        begun.add(uid)


def test_tls(say, make_node, certificate):
    say([make_entry(1)])
    node = make_node('--tls-certificate', certificate, '--idle', '3')
    wait_for(lambda: 'Machines: 4' in node.text)
    # One that says nothing does not keep others from their handshake.
    silent = socket.create_connection(('127.0.0.1', node.port))
    context = ssl.create_default_context(
        cafile=str(certificate.with_suffix('.crt')))
    answers, last = node.find(
        keys(PatientName=''), tls_args=(context, 'localhost'))
    assert last.Status == 0 and len(answers) == 1
    with node.associated() as plain:
        assert not plain.is_established
    silent.close()
    # With authorities only those whom they know.
    node.stop()
    node = make_node('--tls-certificate', certificate, '--idle', '3',
        '--tls-clients', certificate.with_suffix('.crt'))
    with node.associated(tls_args=(context, 'localhost')) as unknown:
        assert not unknown.is_established
    context.load_cert_chain(certificate)
    with node.associated(tls_args=(context, 'localhost')) as known:
        assert known.is_established


# The process

def test_one_node_for_a_folder_and_a_clean_end(say, make_node, stand_in):
    node = make_node()
    second = run(NODE, *stand_in.options, '--data', node.data,
        GNUHEALTH_PASSWORD=PASSWORD)
    assert_one_sentence(second, 5, "Another modality node")
    with node.associated(service=STEP) as association:
        assert node.running
        process = node._popen
        process.terminate()
        assert process.wait(20) == 0
        wait_for(lambda: not association.is_established)


@pytest.mark.parametrize('options, code, words', [
    ([], 2, '--data'),
    (['--data', '{data}', '--bind', '192.0.2.1'], 2, 'Nothing can listen'),
    (['--data', '{data}', '--tls-certificate', '/no/such'], 2, 'TLS'),
    (['--data', '{data}', '--tls-key', '/no/such'], 2, '--tls-certificate'),
    (['--data', '/proc/no/folder'], 5, 'cannot be used'),
    ])
def test_wrong_usage(stand_in, tmp_path, options, code, words):
    options = [word.format(data=tmp_path / 'data') for word in options]
    done = run(NODE, *stand_in.options, *options, GNUHEALTH_PASSWORD=PASSWORD)
    assert_one_sentence(done, code, words)


def test_check(say, stand_in):
    say([make_entry(1), make_entry(2, aetitle='', modality='MR')])
    done = run(NODE, *stand_in.options, '--check',
        GNUHEALTH_PASSWORD=PASSWORD)
    assert (done.returncode, done.stderr) == (0, '')
    assert done.stdout.splitlines() == [
        "Machines: 4.",
        "ANY: 1 entries, any modality, character set of the template",
        "CT1: 1 entries, CT, character set of the template",
        "CT2: 0 entries, CT, ISO_IR 100",
        "MR1: 1 entries, MR, ISO_IR 101",
        "4 machines, 2 entries."]
    done = run(NODE, *stand_in.options, '--check', GNUHEALTH_PASSWORD='wrong')
    assert_one_sentence(done, 4, 'Wrong user or password')
