# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the software writes down is read in the language of who reads it,
whoever let it be written; what a person wrote stays as it is."""
import datetime as dt
import itertools
from xmlrpc import client

import pytest
from support import catalogs
from support.records import (
    as_user, make_institution, make_requested, make_result, make_user)
from support.synchronizing import new_server, synchronize, transaction

from trytond.i18n import gettext
from trytond.modules.health_imaging import told
from trytond.modules.health_orthanc import tables
from trytond.modules.health_orthanc.connection import connect
from trytond.modules.health_orthanc.exceptions import error_text
from trytond.modules.health_orthanc.links import effects
from trytond.modules.health_orthanc.links.access_log import note
from trytond.modules.health_orthanc.links.link import Change, Link
from trytond.modules.health_orthanc.sync.run import Run
from trytond.pool import Pool
from trytond.transaction import Transaction

STUDY = 'gnuhealth.imaging_orthanc.study'
SERVER = 'gnuhealth.orthanc.config'
RUN = 'gnuhealth.orthanc.sync_run'
EVENT = 'gnuhealth.orthanc.link_event'
LOG = 'gnuhealth.orthanc.access_log'
REPORT = 'gnuhealth.orthanc.report'
NOTE = 'ir.note'
LANGUAGES = ['en', 'es', 'ar']
_numbers = itertools.count(1)
TYPED = '[["health_orthanc.msg_event_failed", {}]]'


@pytest.fixture(scope='module')
def keeper(activated):
    "The id of a user who sees all of it, in a hospital of three languages."
    with transaction():
        make_institution()
        user = make_user('keeper',
            'health_orthanc.group_imaging_orthanc_admin',
            'health_imaging.group_health_imaging_admin')
        for language in LANGUAGES[1:]:
            catalogs.install(language)
        Language = Pool().get('ir.lang')
        Language.write(
            Language.search([('code', '=', 'ar')]), {'date': '%d/%m/%Y'})
        Transaction().commit()
        return user.id


@pytest.fixture(scope='module')
def server(keeper):
    with transaction():
        return new_server('http://127.0.0.1:9')


@pytest.fixture
def study(server):
    "The id of a study."
    number = next(_numbers)
    with transaction():
        study, = Pool().get(STUDY).create([{
                    'orthanc_server': server, 'orthanc_UID': f'o{number}',
                    'study_instance_UID': f'1.2.{number}',
                    'notes': "Of a cat."}])
        Transaction().commit()
        return study.id


def read(user, model, id_, name, language):
    "Return what a user reads in a language, with his rights."
    with transaction(user, language=language, _check_access=True):
        row, = Pool().get(model).read([id_], [name])
        return row[name]


def readings(user, model, id_, name):
    "Return what is read in each language, which must not be the same."
    texts = [read(user, model, id_, name, lang) for lang in LANGUAGES]
    assert len(set(texts)) == 3, texts
    return texts


def said(message, **values):
    "Return a message in each language."
    texts = []
    for language in LANGUAGES:
        with transaction(language=language):
            texts.append(gettext(f'health_orthanc.{message}', **values))
    return texts


def kept(model, id_, name):
    "Return what the database has."
    with transaction():
        table = Pool().get(model).__table__()
        (text,), = tables.execute(table.select(
                getattr(table, name), where=table.id == id_))
        return text


def found(user, model, language, *domain):
    with transaction(user, language=language, _check_access=True):
        return [r.id for r in Pool().get(model).search(list(domain))]


# Runs, servers, decisions

def test_a_run_of_the_schedule_is_read_by_everybody(keeper, server):
    with transaction(language='en'):
        run = synchronize(server, started_by='cron').id
        label = Pool().get(SERVER)(server).label
    expected = said('msg_error_connection_refused', server=label)
    assert readings(keeper, RUN, run, 'error') == expected
    assert readings(keeper, SERVER, server, 'last_error') == expected
    assert kept(RUN, run, 'error') == kept(SERVER, server, 'last_error') == (
        '[["health_orthanc.msg_error_connection_refused", '
        f'{{"server": "{label}"}}]]')
    with transaction():
        summary = Pool().get(RUN)(run).summary()
    assert summary['error'] == expected[0]


def test_it_is_searched_as_it_is_read(keeper, server):
    with transaction():
        run = synchronize(server, started_by='cron').id
        former, none = [r.id for r in Pool().get(RUN).create([
                    {'server': server, 'state': 'failed',
                        'start': dt.datetime(2020, 1, 1), 'error': error}
                    for error in ["El servidor no responde.", None]])]
        Transaction().commit()
    spanish = read(keeper, RUN, run, 'error', 'es')
    words = spanish.split()[0]

    def search(language, *clause):
        ids = found(keeper, RUN, language, ('error', *clause))
        return {run, former, none}.intersection(ids)

    assert search('es', 'ilike', f'%{words.lower()}%') == {run}
    assert search('en', 'ilike', f'%{words.lower()}%') == set()
    assert search('es', '=', spanish) == search('es', 'in', [spanish]) == {run}
    assert search('en', 'ilike', '%NO RESPONDE%') == {former}
    assert search('es', 'not ilike', f'%{words.lower()}%') >= {former}
    assert search('es', '=', None) == {none}
    assert search('es', '!=', None) == {run, former}
    # What was prose stays it.
    assert read(keeper, RUN, former, 'error', 'ar') == (
        "El servidor no responde.")
    # Nobody finds a code.
    assert not search('es', 'ilike', '%msg_error%')


def test_what_a_run_skipped(keeper, server):
    with transaction():
        run = Run(Pool().get(SERVER)(server))
        run.skip('abc', 'no_uid')
        run.skip('def', 'server_error')
        line, = Pool().get(RUN).create([{
                    'server': server, 'skipped': 2, 'state': 'done',
                    'start': dt.datetime(2020, 1, 2),
                    'skipped_reasons': run._reasons()}])
        Transaction().commit()
    assert readings(keeper, RUN, line.id, 'skipped_reasons') == [
        f'abc: {one}\ndef: {other}' for one, other in zip(
            said('msg_skipped_no_uid'), said('msg_skipped_server_error'))]


def test_the_key_of_passwords_and_reports(keeper, server, study):
    "What was raised as a message to the user is no prose, too."
    with transaction():
        Server = Pool().get(SERVER)
        table = Server.__table__()
        tables.execute(table.update([table.password], ['fernet:x'],
                where=table.id == server))
        with pytest.raises(Exception) as error:
            connect(Server(server))
        Server.check_servers([Server(server)])
        Transaction().commit()
        assert error.value.message.kept[0].startswith(
            'health_orthanc.msg_secret_')
        result = make_result()
        report, = Pool().get(REPORT).create([{
                    'result': result, 'revision': 0, 'study': study}])
        Transaction().commit()
        Pool().get(REPORT)._send_to(Server(server), [report.id])
        Transaction().commit()
    expected = readings(keeper, SERVER, server, 'last_error')
    assert readings(keeper, REPORT, report.id, 'error') == expected


def test_a_decision_that_failed(keeper):
    with transaction():
        Event = Pool().get(EVENT)
        Event.note('study', [0], 'sync')
        event, = Event.search([], limit=1)
        Event._note_outcome(event.id, True)
        Transaction().commit()
    assert [
        read(1, EVENT, event.id, 'error', language) for language in LANGUAGES
        ] == said('msg_event_failed')


# Notes and logs

def test_notes_of_the_software(keeper, study):
    moment = dt.datetime(2026, 3, 4, 15, 30)
    with transaction(language='en'):
        pool = Pool()
        Note = pool.get(NOTE)
        Result = pool.get('gnuhealth.imaging.test.result')
        result = make_result()
        tables.set_values(Result, [result.id], state='final')
        effects._mark_final_results([Change(
                    study, Link(), Link(imaging_test=result.id))])
        request = make_requested()
        tables.set_values(type(request), [request.id],
            claimed_by=keeper, claimed_at=moment)
        type(request)._note_takeover([type(request)(request.id)])
        typed, = Note.create([{
                    'resource': str(result), 'message': TYPED}])
        name = pool.get(STUDY)(study).rec_name
        came, = Note.search([
                ('resource', '=', str(result)), ('id', '!=', typed.id)])
        taken, = Note.search([('resource', '=', str(request))])
        Transaction().commit()
    assert readings(1, NOTE, came.id, 'message') == said(
        'msg_note_study_came', study=name)
    english, _, arabic = readings(1, NOTE, taken.id, 'message')
    # A time, too, is written as the reader does: it is half past ten in Lima.
    assert '10:30' in english and '03/04/2026' in english
    assert '04/03/2026' in arabic
    for language in LANGUAGES:
        assert read(1, NOTE, typed.id, 'message', language) == TYPED
        wrapped = read(1, NOTE, came.id, 'message_wrapped', language)
        assert wrapped.split() == read(
            1, NOTE, came.id, 'message', language).split()
    spanish = said('msg_note_study_came', study='')[1].split()[0]
    assert came.id in found(
        1, NOTE, 'es', ('message', 'ilike', f'%{spanish}%'))
    assert [typed.id] == found(
        1, NOTE, 'es', ('message', 'ilike', '%msg_event_failed%'))


def test_the_access_log_of_a_deletion(keeper, server, study):
    with transaction(language='en'):
        Study = Pool().get(STUDY)
        name = Study(study).rec_name
        tables.set_values(Study, [study], deleting_reason="[x] Of a cat.",
            deleting_since=dt.datetime(2020, 1, 1), link_rule='person')
        Study(study)._drop('done')
        note('upload', [], TYPED)
        Transaction().commit()
        upload, line = Pool().get(LOG).search([], limit=2)
    texts = readings(keeper, LOG, line.id, 'details')
    for text, first in zip(texts, said('msg_deleted_done', record=name)):
        assert text.splitlines()[:2] == [first, "[x] Of a cat."]
        assert ': 1.2.' in text
    assert "Linked by: A person" in texts[0]
    assert not any('person' in line.split(': ') for line in texts[1].split(
            '\n'))
    assert len({text.splitlines()[-1] for text in texts}) == 3
    # A name of a file does not become a sentence of the software.
    for language in LANGUAGES:
        assert read(keeper, LOG, upload.id, 'details', language) == TYPED
    assert line.id in found(
        keeper, LOG, 'es', ('details', 'ilike', '%of a cat%'))


def test_moved_in_the_calendar(keeper):
    with transaction():
        request = make_requested()
        with as_user(Pool().get('res.user')(1)):
            type(request).set_slot_start(
                [request], 'slot_start', dt.datetime(2030, 1, 7, 15))
        log, = request.reschedules
        request.reschedule_to(
            [request], dt.datetime(2030, 1, 8, 15), "[She] asked for it.")
        typed, _ = type(request)(request.id).reschedules
        Transaction().commit()
    readings(keeper, log.__name__, log.id, 'reason')
    assert read(keeper, log.__name__, typed.id, 'reason', 'es') == (
        "[She] asked for it.")


def test_nobody_speaks_for_the_software(keeper, study):
    "A client may send a list where it should send a text."
    with transaction():
        request = make_requested()
        Transaction().commit()
    forged = ["health_orthanc.msg_event_failed", {}]
    for message in [[forged], [[forged]], [[]], [1], {'a': 1}, forged]:
        with transaction():
            note_, = Pool().get(NOTE).create([{
                        'resource': str(request), 'message': message}])
            assert note_.message == str(message)
            found, = Pool().get(NOTE).search([
                    ('resource', '=', str(request)),
                    ('message', '=', str(message))])
            assert found == note_


def test_what_a_later_version_says(keeper, server, monkeypatch):
    "Who goes back to a former version loses no parameter."
    later = '[["health_orthanc.msg_of_tomorrow", {"n": 7}]]'
    other = '[["health_orthanc.msg_skipped_no_uid", {}], ["m.x,y", {}]]'
    # Only in tests, trytond raises an error for an unknown message.
    monkeypatch.setattr(Pool, 'test', False)
    with transaction():
        assert told.shown(later) == later
        assert told.shown(other) == other


def test_lists_are_not_sorted_by_codes(keeper):
    with transaction(keeper):
        for model, name in [(RUN, 'error'), (LOG, 'details'), (
                NOTE, 'message')]:
            assert not Pool().get(model).fields_get([name])[name]['sortable']


# What is kept

@pytest.mark.parametrize('prose', [
        None, '', "No answer.", "[", "[1]", "[1, 2]", '[["x"]]', '{"a": 1}',
        '[["health_orthanc.msg_none", 3]]', "[" * 5000, '[[["a", {}], {}]]'])
def test_what_was_no_code_is_shown_as_it_is(transaction, prose):
    assert told.shown(prose) == prose
    if prose:
        assert told.shown(told.stored(prose)) == prose


def test_sentences_within_sentences(transaction):
    server = error_text(type('Error', (), {'reason': 'timeout'}), "A")
    outer = told.tell('health_orthanc.msg_upload_stopped',
        problem=server, count=3)
    assert server in outer and isinstance(outer, str)
    for language in ['es', 'en']:
        with Transaction().set_context(language=language):
            assert told.shown(told.stored(outer)) == gettext(
                'health_orthanc.msg_upload_stopped', count=3, problem=gettext(
                    'health_orthanc.msg_error_timeout', server="A"))
    assert told.stored([]) is told.stored(None) is None


def test_scripts_get_what_the_software_says(server, keeper):
    "They come over XML-RPC, which knows no other kinds of text."
    with transaction(keeper):
        error = error_text(type('Error', (), {'reason': 'timeout'}), "A")
    assert client.loads(client.dumps((error,)))[0] == (str(error),)
