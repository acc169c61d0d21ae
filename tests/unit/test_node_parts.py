# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The parts of the modality node without a network: what fits to a query, who
gets what in which letters, what is kept on disk, and what is sent when."""
import contextlib
import io
import socket
import sqlite3
import sys
from types import SimpleNamespace

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from unit.test_script_connection import SCRIPTS
from unit.test_worklist_script import NAMES, Told, answer, make_entry

sys.path.insert(0, str(SCRIPTS))

import modality_node  # noqa: E402
import node_matching  # noqa: E402
import node_services  # noqa: E402
import node_store  # noqa: E402
import node_worklist  # noqa: E402
from command_line import FolderFailure, Unreachable  # noqa: E402
from connection import ServerFailed  # noqa: E402
from node_matching import Query, QueryError  # noqa: E402

LETTERS = node_worklist.load_letters()


def entry(id_=1, zone=None, step=None, **values):
    "Return a data set of the worklist; step has values of its item."
    dataset = node_worklist.read_entry(make_entry(id_, **values)['dicom'])
    if zone:
        dataset.TimezoneOffsetFromUTC = zone
    for keyword, value in (step or {}).items():
        setattr(dataset.ScheduledProcedureStepSequence[0], keyword, value)
    return dataset


def keys(step=None, **values):
    "Return a query; step has the keys of its item."
    query = Dataset()
    if step is not None:
        item = Dataset()
        for keyword, value in step.items():
            setattr(item, keyword, value)
        query.ScheduledProcedureStepSequence = [item]
    for keyword, value in values.items():
        setattr(query, keyword, value)
    return query


def fits(query, dataset):
    return Query(query).answer(dataset) is not None


# Matching

@pytest.mark.parametrize('name, key, expected', [
    ('Doe^John', 'Doe^John', True),
    ('Doe^John', 'DOE^JOHN^^^', True),
    ('Doe^John', 'Doe', False),
    ('Doe^John', 'Doe*', True),
    ('Doe^John', 'doe^*', True),
    ('Doe', 'Doe^*', True),
    ('Doe', 'Doe*^*^*', True),
    ('Doering^Jo', 'Doe^*', False),
    ('Doe^John', 'D?e^J*', True),
    ('Doe^John', '*JOHN', True),
    ('Doe^John', '', True),
    ('Doe^John', '*', True),
    ('Doe^John', '**', True),
    ('Doe^John', 'Smith\\Doe^John', True),
    ('Doe^John', 'D.e^John', False),
    ('M\xfcller^J', 'muller*', True),
    ('Muller^J', 'M\xdcLLER*', True),
    (NAMES['GB18030'], 'wang*', True),
    (NAMES['GB18030'], '\u738b*', True),
    (NAMES['GB18030'], '=\u738b*', True),
    (NAMES['GB18030'], 'Wang*=\u674e*', False),
    (NAMES['GB18030'], '==x', False),
    ])
def test_names(name, key, expected):
    assert fits(keys(PatientName=key), entry(name=name)) is expected


@pytest.mark.parametrize('key, value, expected', [
    ('PatientID', 'P1001', True),
    ('PatientID', 'p1001', False),
    ('PatientID', 'P100?', True),
    ('PatientID', 'P*[0-9]', False),
    ('PatientID', ' P1001 ', True),
    ('PatientSex', 'F', True),
    ('PatientSex', 'M', False),
    ('StudyInstanceUID', '2.25.1001', True),
    ('StudyInstanceUID', ['2.25.1', '2.25.1001'], True),
    ('StudyInstanceUID', '2.25.*', False),
    ('PatientBirthDate', '19800229', True),
    ('PatientBirthDate', '19790101-19801231', True),
    ('PatientBirthDate', '-19800229', True),
    ('PatientBirthDate', '19800301-', False),
    ('PatientBirthDate', '1980.02.29', True),
    ('PatientWeight', '70', True),
    ('PregnancyStatus', 0, True),
    ('QueryRetrieveLevel', 'STUDY', True),
    ('PatientWeight', None, True),
    ('PatientState', 'any', False),
    ('ReferencedStudySequence', [], True),
    ])
def test_other_keys(key, value, expected):
    assert fits(keys(**{key: value}), entry()) is expected


@pytest.mark.parametrize('step, expected', [
    ({}, True),
    ({'Modality': 'CT'}, True),
    ({'Modality': 'MR'}, False),
    ({'Modality': '', 'ScheduledStationAETitle': 'CT1'}, True),
    ({'ScheduledStationAETitle': 'CT?'}, True),
    ({'ScheduledStationAETitle': 'CT2'}, False),
    ])
def test_step(step, expected):
    assert fits(keys(step), entry()) is expected


# The step begins on 2026-11-21 at 10:15.
@pytest.mark.parametrize('date, time, expected', [
    ('20261121', '', True),
    ('20261122', '', False),
    ('20261121-', '', True),
    ('-20261120', '', False),
    ('-20261121', '', True),
    ('20261120-20261122', '', True),
    ('', '1015', True),
    ('', '10', True),
    ('', '101501', False),
    ('', '101500.000000', True),
    ('', '10:15:00', True),
    ('', '-1014', False),
    ('', '1000-', True),
    ('', '0900-1015', True),
    ('', '2200-0600', False),
    ('', '2200-1100', True),
    ('20261121', '0900-1000', False),
    ('20261121', '1000-1100', True),
    # Over midnight.
    ('20261120', '2200-1030', True),
    ('20261121', '2200-1030', False),
    ('20261120-20261120', '2200-1030', True),
    # One range from the first to the last moment.
    ('20261120-20261121', '1100-1030', True),
    ('20261120-20261121', '1100-1000', False),
    ('20261120-20261122', '1200-1300', True),
    ('20261121-20261122', '1030-0900', False),
    ('20261121-', '1030-', False),
    ('20261121-', '-0900', True),
    ('-20261121', '-1000', False),
    # A time that is no range is that of any day.
    ('20261120-20261122', '1015', True),
    ('20261120-20261122', '1100', False),
    ('*', '*', True),
    ])
def test_dates_and_times(date, time, expected):
    query = keys({'ScheduledProcedureStepStartDate': date,
            'ScheduledProcedureStepStartTime': time})
    assert fits(query, entry()) is expected


@pytest.mark.parametrize('query, own, date, time, expected', [
    # 10:15 in India is 04:45 UTC, and 23:45 of the day before in Chicago.
    ('+0000', '+0530', '20261121', '0445', True),
    ('+0000', '+0530', '20261121', '1015', False),
    ('-0500', '+0530', '20261120', '2345', True),
    ('-0500', '+0530', '20261121', '', False),
    ('-0500', '+0530', '20261120-20261121', '2300-0030', True),
    ('+0530', '+0530', '20261121', '1015', True),
    ('-0500', None, '20261121', '1015', True),
    (None, '+0530', '20261121', '1015', True),
    ('nonsense', '+0530', '20261121', '1015', True),
    ])
def test_time_zones(query, own, date, time, expected):
    asked = keys({'ScheduledProcedureStepStartDate': date,
            'ScheduledProcedureStepStartTime': time})
    if query:
        asked.TimezoneOffsetFromUTC = query
    answer_ = Query(asked).answer(entry(zone=own))
    assert (answer_ is not None) is expected
    if expected:
        # How the times of the answer are to be read is told.
        assert answer_.get('TimezoneOffsetFromUTC') == own


@pytest.mark.parametrize('step', [
    {'ScheduledProcedureStepStartDate': 'TODAY'},
    {'ScheduledProcedureStepStartDate': '20260230'},
    {'ScheduledProcedureStepStartDate': '2026'},
    {'ScheduledProcedureStepStartTime': '2500'},
    {'ScheduledProcedureStepStartTime': '10-11-12'},
    ])
def test_query_that_cannot_be_understood(step):
    with pytest.raises(QueryError) as caught:
        Query(keys(step))
    assert caught.value.tag in {
        node_matching.START_DATE, node_matching.START_TIME}


def test_queries_are_bounded():
    wide = Dataset()
    for element in range(node_matching.MOST_KEYS + 1):
        wide.add_new(0x00110000 + 0x1000 + element, 'LO', '')
    two = keys({})
    two.ScheduledProcedureStepSequence.append(Dataset())
    two.ScheduledProcedureStepSequence[0].Modality = 'CT'
    for query in (wide, two):
        with pytest.raises(QueryError):
            Query(query)


def test_answers_have_what_is_asked():
    query = keys({'Modality': '', 'ScheduledStationName': ''},
        PatientName='', PatientWeight=None, ReferencedStudySequence=[],
        StudyDescription='')
    query.add_new(0x00100000, 'UL', 8)
    query.add_new(0x00091001, 'UN', None)
    reply = Query(query).answer(entry())
    assert [element.tag for element in reply] == [
        0x00080005, 0x00081030, 0x00081110, 0x00091001, 0x00100010,
        0x00101030, 0x00400100]
    assert reply.PatientName == 'Test^Ana'
    assert reply['PatientWeight'].VR == 'DS' and reply.PatientWeight is None
    assert reply['ReferencedStudySequence'].VR == 'SQ'
    assert reply.ReferencedStudySequence == []
    step, = reply.ScheduledProcedureStepSequence
    assert [element.keyword for element in step] == [
        'Modality', 'ScheduledStationName']
    # An empty sequence, and one empty item, is the whole of it.
    for value in ([], [Dataset()]):
        whole = Query(keys(ScheduledProcedureStepSequence=value))
        step, = whole.answer(entry()).ScheduledProcedureStepSequence
        assert len(step) == 6
    # No sequence is no filter, and none is answered.
    reply = Query(keys(PatientID='')).answer(entry())
    assert 'ScheduledProcedureStepSequence' not in reply
    # Only the items that fit.
    two = entry()
    two.ScheduledProcedureStepSequence.append(Dataset())
    two.ScheduledProcedureStepSequence[1].Modality = 'MR'
    step, = Query(keys({'Modality': 'MR'})).answer(
        two).ScheduledProcedureStepSequence
    assert step.Modality == 'MR'


# Machines

def machine(title='CT1', modality='CT', charset=''):
    return {'ae_title': title, 'name': title, 'modality': modality,
        'charset': charset}


def sent(dataset):
    "Return what a machine reads of a data set."
    file = io.BytesIO()
    dataset.save_as(file, implicit_vr=True, little_endian=True)
    return dcmread(file, force=True)


def test_who_gets_what():
    worklist = node_worklist.Worklist(LETTERS)
    worklist.change({
            1: entry(1), 2: entry(2, aetitle='CT2'), 3: entry(3, aetitle=''),
            4: entry(4, aetitle='', modality='MR'),
            5: entry(5, aetitle='CT1\\CT2')}, [])
    worklist.set_machines([machine('CT1'), machine('CT2'),
            machine('MR1', 'MR'), machine('ANY', '')])

    def got(title):
        return {
            str(found.AccessionNumber):
            str(found.ScheduledProcedureStepSequence[0]
                .ScheduledStationAETitle)
            for found in worklist.entries(title)}
    assert got('CT1') == {
        'S1': 'CT1', 'S3': 'CT1', 'S5': "['CT1', 'CT2']"}
    assert got('CT2') == {
        'S2': 'CT2', 'S3': 'CT2', 'S5': "['CT1', 'CT2']"}
    assert got('MR1') == {'S4': 'MR1'}
    assert got('ANY') == {'S3': 'ANY', 'S4': 'ANY'}
    assert got('XX') == {}
    worklist.change({2: entry(2), 6: entry(6)}, [1])
    assert set(got('CT1')) == {'S2', 'S3', 'S5', 'S6'}
    assert set(got('CT2')) == {'S3', 'S5'}
    worklist.set_machines([machine('CT2')])
    assert set(worklist.machines) == {'CT2'} and not got('CT1')


@pytest.mark.parametrize('name, charset, expected', [
    ('M\xfcller^J\xf6rg', 'ISO_IR 100', 'M\xfcller^J\xf6rg'),
    ('M\xfcller^J\xf6rg', 'ISO 2022 IR 6', 'Muller^Jorg'),
    ('\u010capek^\u0141ucja', 'ISO_IR 100', 'Capek^Lucja'),
    ('\u010capek^\u0141ucja', 'ISO_IR 101', '\u010capek^\u0141ucja'),
    (NAMES['ISO_IR 144'], 'ISO_IR 144', NAMES['ISO_IR 144']),
    (NAMES['ISO_IR 144'], 'ISO_IR 100', 'Ivanov^Pet'),
    (NAMES['GB18030'], 'ISO_IR 100', 'Wang^XiaoDong'),
    (NAMES['GB18030'], 'GB18030', NAMES['GB18030']),
    (NAMES['\\ISO 2022 IR 87'], '\\ISO 2022 IR 87',
        NAMES['\\ISO 2022 IR 87']),
    (NAMES['\\ISO 2022 IR 87'], '', NAMES['\\ISO 2022 IR 87']),
    ])
def test_letters_of_a_machine(name, charset, expected):
    worklist = node_worklist.Worklist(LETTERS)
    dataset = entry(name=name, step={
            'ScheduledProcedureStepDescription': 'T\xeate \u2013 \u0416'})
    worklist.change({1: dataset}, [])
    worklist.set_machines([machine(charset=charset)])
    found, = worklist.entries('CT1')
    # What it was shown, it may ask for.
    query = Query(keys({'ScheduledProcedureStepDescription': ''},
            PatientName=expected.split('=')[0].split('^')[0] + '*'))
    read = sent(query.answer(found))
    assert read.PatientName == expected
    told = read.SpecificCharacterSet
    told = told if isinstance(told, str) else '\\'.join(told)
    assert told == (charset or 'ISO_IR 192')
    text = read.ScheduledProcedureStepSequence[
        0].ScheduledProcedureStepDescription
    assert '\ufffd' not in text and text[0] == 'T'


def test_long_texts_stay_within_their_length():
    dataset = entry(name='\xdf' * 64)
    near = node_worklist.in_charset(dataset, 'ISO 2022 IR 6', LETTERS)
    assert str(near.PatientName) == 's' * 64


def test_pure_files_are_asked_for(monkeypatch, tmp_path):
    monkeypatch.setattr(node_worklist, '_PURE', [tmp_path / 'missing'])
    with pytest.raises(node_worklist.UsageFailure, match='nearest.py'):
        node_worklist.load_letters()


def test_who_asked_is_bounded():
    worklist = node_worklist.Worklist(LETTERS)
    assert worklist.note('A' * 99, 'x' * 99, False)
    assert not worklist.note('A' * 99, 'x' * 99, False)
    for number in range(2 * node_worklist.MOST_ASKED):
        worklist.note('B', str(number), False)
    asked = worklist.take_asked()
    assert len(asked) == node_worklist.MOST_ASKED
    assert asked[-1]['address'] == str(number) and asked[-1]['age'] > 1e9
    assert worklist.take_asked() == []


# On disk

MESSAGE = {'ae_title': 'CT1', 'address': '192.0.2.1',
    'received': '2026-11-21T10:15:00.000000', 'attributes': {}}


@pytest.fixture
def store(tmp_path):
    store = node_store.Store(tmp_path / 'data')
    yield store
    store.close()


def test_store_keeps(store, tmp_path):
    store.keep(7.5, [machine(), machine()], {1: b'one', 2: b'two'})
    store.keep(8.5, None, {2: b'2'}, [1])
    assert store.create('2.25.1', MESSAGE)
    node = store.node
    with pytest.raises(FolderFailure, match='Another modality node'):
        node_store.Store(tmp_path / 'data')
    store.close()
    assert (tmp_path / 'data').stat().st_mode & 0o77 == 0
    for file in (tmp_path / 'data').iterdir():
        assert file.stat().st_mode & 0o77 == 0
    store.__init__(tmp_path / 'data')
    assert (store.node, store.polled) == (node, 8.5)
    assert store.machines() == [machine()]
    assert store.entries() == {2: b'2'}
    store.keep(9, [], all_=True)
    assert not store.entries() and not store.machines()
    assert [m['uid'] for m in store.pending()] == ['2.25.1']
    # Each commit is synced.
    assert store._read('PRAGMA synchronous') == [(2,)]


def test_states_of_steps(store):
    assert store.change('2.25.1', MESSAGE, False) == node_store.UNKNOWN
    assert store.create('2.25.1', MESSAGE)
    assert not store.create('2.25.1', MESSAGE)
    assert store.change('2.25.1', MESSAGE, False) == node_store.KEPT
    assert store.change('2.25.1', MESSAGE, True) == node_store.KEPT
    assert store.change('2.25.1', MESSAGE, False) == node_store.ENDED
    assert not store.create('2.25.1', MESSAGE)
    messages = store.pending()
    assert [(m['number'], m['kind']) for m in messages] == [
        (1, 'create'), (2, 'set'), (3, 'set')]
    assert messages[0] == {
        'number': 1, 'kind': 'create', 'uid': '2.25.1', **MESSAGE}
    store.forget([1, 2, 3])
    # No number comes twice.
    assert store.create('2.25.2', MESSAGE)
    assert [m['number'] for m in store.pending()] == [4]


def test_batches_are_bounded(store, monkeypatch):
    for number in range(5):
        store.create(f'2.25.{number}', dict(
                MESSAGE, attributes={'00080060': {'vr': 'x' * 90}}))
    assert [m['number'] for m in store.pending(2, 1)] == [2, 3]
    monkeypatch.setattr(node_store, 'LARGEST_BATCH', 300)
    assert len(store.pending()) == 2
    monkeypatch.setattr(node_store, 'LARGEST_BATCH', 1)
    assert len(store.pending()) == 1


def test_nothing_is_half_kept(store, monkeypatch):
    def fail(*arguments):
        raise sqlite3.OperationalError("the disk is full")
    monkeypatch.setattr(node_store, '_add', fail)
    with pytest.raises(FolderFailure, match='disk is full') as caught:
        store.create('2.25.1', MESSAGE)
    assert caught.value.temporary
    monkeypatch.undo()
    assert store.create('2.25.1', MESSAGE)


def test_folder_that_cannot_be_used(tmp_path):
    with pytest.raises(FolderFailure):
        node_store.Store(tmp_path / 'no' / 'folder')
    (tmp_path / 'node.sqlite').write_text("This is no database, I fear." * 99)
    with pytest.raises(FolderFailure):
        node_store.Store(tmp_path)


# What is sent

class Receiver:
    "A GNU Health that keeps messages, but for what it fails at."

    def __init__(self):
        self.kept, self.poison, self.deaf = [], set(), set()
        self.away = False

    def call(self, model, method, node, messages):
        if self.away:
            raise Unreachable("away", True)
        if self.poison & {m['number'] for m in messages}:
            raise ServerFailed("failed", True)
        good = [m['number'] for m in messages if m['number'] not in self.deaf]
        self.kept += [n for n in good if n not in self.kept]
        return good


@pytest.fixture
def forward(store):
    "A function that sends once, with a .receiver; 300 messages of 150 steps."
    for number in range(150):
        store.create(f'2.25.{number}', MESSAGE)
        store.change(f'2.25.{number}', MESSAGE, True)
    receiver = Receiver()
    forwarder = modality_node.Forwarder(None, store, Told())

    def send():
        return forwarder.round(receiver)
    send.receiver = receiver
    return send


def test_messages_are_sent_in_order(forward, store):
    forward.receiver.away = True
    with pytest.raises(Unreachable):
        forward()
    assert store.count_pending() == 300
    forward.receiver.away = False
    assert not forward()
    assert forward.receiver.kept == list(range(1, 301))
    assert not store.count_pending()


@pytest.mark.parametrize('trouble', ['poison', 'deaf'])
def test_one_bad_message_stops_no_other(forward, store, trouble):
    setattr(forward.receiver, trouble, {3, 250})
    assert forward()
    # What belongs to the same step waits, for its order.
    left = {m['number'] for m in store.pending()}
    assert {3, 250} <= left <= {3, 4, 250}
    if trouble == 'poison':
        assert 4 in left
    setattr(forward.receiver, trouble, set())
    assert not forward()
    assert sorted(forward.receiver.kept) == list(range(1, 301))


def test_a_broken_server_is_not_asked_for_each_message(forward, store):
    forward.receiver.poison = set(range(1, 301))
    with pytest.raises(ServerFailed):
        forward()
    assert store.count_pending() == 300


# The poll

class GnuHealth:
    "Answers calls with what it was told."

    def __init__(self):
        self.machines = [machine()]
        self.answer = answer([])
        self.calls = []

    def call(self, model, method, *arguments):
        self.calls.append((method, *arguments))
        if isinstance(self.answer, Exception):
            raise self.answer
        return {'get_machines': self.machines, 'note_asked': None,
            'get_worklist_entries': self.answer}[method]


def make_poll(store, health):
    worklist = node_worklist.Worklist(LETTERS)
    return modality_node.Poll(health, store, worklist, Told()), worklist


def test_poll(store):
    health = GnuHealth()
    poll, worklist = make_poll(store, health)
    health.answer = answer([make_entry(1), make_entry(2)])
    poll()
    assert set(store.entries()) == {1, 2} and worklist.size == 2
    health.answer = answer(
        [make_entry(2, name='New^Name'), make_entry(3, error="no UID")],
        [{'id': 1, 'number': 'x'}], False, '2')
    poll()
    assert health.calls[-1] == (
        'get_worklist_entries', '1', {'known': {}, 'text': False})
    found, = worklist.entries('CT1')
    assert found.PatientName == 'New^Name'
    # An entry that can no longer be made is no entry; it is told once.
    health.answer = answer([make_entry(2, error="no UID")], (), False)
    poll(), poll()
    assert worklist.size == 0 and not store.entries()
    assert poll.messages.errors == ["003-01-01: no UID", "002-01-01: no UID"]
    worklist.note('XX', '192.0.2.9', False)
    health.machines = [machine('CT2')]
    poll()
    assert health.calls[-1][:2] == ('note_asked', store.node)
    assert health.calls[-1][2][0]['ae_title'] == 'XX'
    assert list(worklist.machines) == ['CT2']
    # A full answer removes what it does not have.
    poll._full_at = 0
    health.answer = answer([make_entry(9)])
    poll()
    assert list(store.entries()) == [9]


def test_only_what_differs_is_sent_to_the_node(store):
    health = GnuHealth()
    poll, worklist = make_poll(store, health)
    health.answer = answer([make_entry(1), make_entry(2)])
    poll()
    known = {str(id_): make_entry(id_)['digest'][:16] for id_ in [1, 2]}
    health.answer = {**answer([], full=False), 'ask': [1, 2, 3]}
    poll()
    *_, first, second = [call for call in health.calls
        if call[0] == 'get_worklist_entries']
    assert first[2] == {'known': {}, 'text': False}
    assert second[2] == {
        'known': {**known, '3': ''}, 'text': False}
    health.answer = answer(
        [make_entry(2, name='New^Name')], full=False, same=[1])
    poll()
    assert set(store.entries()) == {1, 2}
    # All are compared, also by one that starts.
    health.answer = answer([], same=[1])
    poll, worklist = make_poll(store, health)
    poll()
    assert health.calls[-1][1:] == (None, {'text': False, 'known': {
                **known, '2': make_entry(2, name='New^Name')['digest'][:16]}})
    assert set(store.entries()) == {1} and worklist.size == 1


def test_worklist_goes_on_without_gnu_health(store):
    health = GnuHealth()
    health.answer = Unreachable("not there")
    poll, worklist = make_poll(store, health)
    with pytest.raises(Unreachable) as caught:
        poll()
    # Nothing to go on with: whoever starts it sees what is wrong.
    assert not caught.value.temporary
    health.answer = answer([make_entry(1)])
    poll()
    poll, worklist = make_poll(store, health)
    health.answer = Unreachable("not there")
    with pytest.raises(Unreachable) as caught:
        poll()
    assert caught.value.temporary
    assert len(worklist.entries('CT1')) == 1
    assert "1 entries" in poll.messages.errors[0]
    with pytest.raises(Unreachable):
        poll()
    assert len(poll.messages.errors) == 1


@pytest.mark.parametrize('value', [
    None, 7, [7], [{'name': 'x'}], {'ae_title': 'x'}])
def test_machines_that_are_none(value):
    with pytest.raises(Unreachable):
        modality_node.read_machines(value)


# Attributes of steps

def step_attributes(**values):
    "Return the attributes with which a machine begins a step."
    attributes, scheduled = Dataset(), Dataset()
    scheduled.StudyInstanceUID = '2.25.1001'
    attributes.ScheduledStepAttributesSequence = [scheduled]
    attributes.PerformedProcedureStepID = '1'
    attributes.PerformedStationAETitle = 'CT1'
    attributes.PerformedProcedureStepStartDate = '20261121'
    attributes.PerformedProcedureStepStartTime = '101600'
    attributes.PerformedProcedureStepStatus = 'IN PROGRESS'
    attributes.Modality = 'CT'
    for keyword, value in values.items():
        setattr(attributes, keyword, value)
    return attributes


def test_new_steps_are_checked():
    check = node_services._check_new
    assert check(step_attributes()) is None
    for keyword in node_services._REQUIRED:
        attributes = step_attributes()
        delattr(attributes, keyword)
        assert check(attributes).Status == 0x0120
        assert check(step_attributes(**{keyword: None})).Status == 0x0121
    empty = step_attributes(ScheduledStepAttributesSequence=[Dataset()])
    assert check(empty).Status == 0x0120
    for state in ['COMPLETED', 'in progress', ['IN PROGRESS', 'X']]:
        assert check(step_attributes(
                PerformedProcedureStepStatus=state)).Status == 0x0106


def test_what_arrives_is_acknowledged_at_once():
    """A client whose second part waits for the first one's acknowledgement
    would wait 40 ms for each query."""
    with contextlib.closing(socket.create_server(('127.0.0.1', 0))) as server:
        client = socket.create_connection(server.getsockname())
        connection, _ = server.accept()
    with client, connection:
        receive = node_services._Receiver(
            SimpleNamespace(dimse=SimpleNamespace(message=None)),
            SimpleNamespace(socket=connection), 10)
        at_once = []
        for _ in range(3):
            client.sendall(b'question')
            assert receive(8) == b'question'
            at_once.append(connection.getsockopt(
                socket.IPPROTO_TCP, socket.TCP_QUICKACK))
            # An answer turns it off.
            connection.sendall(b'answer')
            client.recv(6)
    assert at_once == [1, 1, 1]


def test_answers_to_the_last_query_are_kept():
    services = object.__new__(node_services.Services)
    services._last = {}

    def answer(dataset, query=keys(PatientName='Doe*'), sent=b'1'):
        event = SimpleNamespace(identifier=query,
            context=SimpleNamespace(transfer_syntax='1.2.840.10008.1.2'),
            request=SimpleNamespace(Identifier=io.BytesIO(sent)))
        return services._answerer(event, 'CT1')(dataset)
    first, other = entry(name='Doe^One'), entry(name='Roe^Two')
    data = answer(first)
    assert b'Doe^One' in data and answer(first) is data
    assert answer(other) is None
    assert b'Doe^New' in answer(entry(name='Doe^New'))
    # Another query is another answer.
    assert b'Doe' not in answer(first, keys(PatientID=''), b'2')
    assert b'Roe^Two' in answer(other, keys(PatientName=''), b'3')


def test_attributes_that_are_no_values_stay_as_text():
    attributes = step_attributes(PatientName='M\xfcller\0^J')
    attributes.SpecificCharacterSet = 'ISO_IR 100'
    attributes.add_new('DistanceSourceToDetector', 'LO', 'about 1 m')
    attributes.add_new('ImageAndFluoroscopyAreaDoseProduct', 'LO', 'NaN')
    attributes.add_new('RedPaletteColorLookupTableData', 'OW', b'\1\2' * 99)
    read = node_services._read(lambda: sent(attributes))
    plain = node_services._plain(read.to_json_dict())
    assert plain['00181110'] == {'vr': 'LO', 'Value': ['about 1 m']}
    assert plain['0018115E'] == {'vr': 'LO', 'Value': ['NaN']}
    assert plain['00100010']['Value'] == [{'Alphabetic': 'M\xfcller^J'}]
    assert '00281201' not in plain
    with pytest.raises(QueryError):
        node_services._read(lambda: 1 / 0)


@pytest.mark.parametrize('seconds, expected', [
    (-1, '0 s'), (3, '3 s'), (130, '2 min'), (7200, '2 h'), (9e5, '10 d')])
def test_ages(seconds, expected):
    assert node_services.describe_age(seconds) == expected
