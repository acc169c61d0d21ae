# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A client sends what no honest one does: repeated ids, ids that are none,
thousands of words, arguments of another kind; to each method there is."""
import pytest
from support.everything import make_user_of_all, models
from support.records import Rpc, RpcError, commit, make_request

from trytond.pool import Pool

MACHINE = 'gnuhealth.imaging_worklist.machine'
REQUEST = 'gnuhealth.imaging.test.request'
SERVER = 'gnuhealth.orthanc.config'
STUDY = 'gnuhealth.imaging_orthanc.study'
FORMER = 'gnuhealth.orthanc.study'
TEMPLATE = 'gnuhealth.imaging_worklist.worklist_template'
# What is called on records of the suite but belongs to links between them.
LINKS = {
    'gnuhealth.imaging.report.template-exam'}
NO_IDS = [
    None, 1.5, 'x', '1', [], {}, [None], ['x'], ['1'], [1.5], [{}], [[1]],
    [2 ** 70], [-2 ** 70], [float('nan')], [True, None]]
TEXTS = [
    ' '.join(f'w{n}' for n in range(3000)), 'word ' * 5000, 'x' * 100000,
    '%' * 3000, '_%' * 3000, '\\', "'", '%', ' ', ',;-']


@pytest.fixture(scope='module')
def everything(activated):
    commit(lambda: make_user_of_all('everything'))
    return Rpc('everything')


def is_clear(rpc, *call, **context):
    "Call, and return whether the answer is right or a sentence."
    try:
        rpc(*call, **context)
    except RpcError as error:
        return error.kind in {'UserError', 'UserWarning', '403'} or error
    return True


def on_records():
    "Return pairs of model and method that take records, but not networks."
    return [
        (model, name) for model, Model in sorted(models().items())
        if model not in LINKS and not model.startswith('gnuhealth.sequences')
        for name, rpc in sorted(Model.__rpc__.items())
        if rpc.instantiate is not None
        and name not in {'copy', 'resources', 'export_data'}]


def test_no_ids(everything):
    "Methods that take records, and the buttons."
    arguments = {
        'write': [{}], 'on_change': [[]], 'on_change_with': [[]],
        'on_scan_code': ['x']}
    unclear = {}
    for model, name in commit(on_records):
        # The others go through the same door.
        odd = NO_IDS if model in {REQUEST, STUDY} else [None, ['x'], [2 ** 70]]
        for ids in odd:
            if ids in ([], {}) and name != 'write':
                continue
            answer = is_clear(everything, f'model.{model}.{name}', ids,
                *arguments.get(name, []))
            if answer is not True:
                unclear[model, name, str(ids)] = answer
    assert not unclear


@pytest.mark.parametrize('method, arguments', [
        ('read', [['rec_name']]), ('export_data', [['rec_name']]),
        ('write', [{'comment': "x"}]), ('pre_validate', []),
        ('requested', []), ('cancel', []), ('generate_results', []),
        ('delete', [])])
def test_repeated_ids(everything, method, arguments):
    def arrange():
        request = make_request()
        if method in {'cancel', 'generate_results'}:
            type(request).requested([request])
        return request.id
    id_ = commit(arrange)
    everything(f'model.{REQUEST}.{method}', [id_, id_, id_], *arguments)
    state = commit(lambda: [
        r.state for r in Pool().get(REQUEST).search([('id', '=', id_)])])
    assert state == {
        'requested': ['requested'], 'cancel': ['requested'],
        'generate_results': ['done'], 'delete': []}.get(method, ['draft'])


def test_repeated_ids_of_a_wizard(everything):
    def arrange():
        request = make_request()
        type(request).requested([request])
        return request.id
    id_ = commit(arrange)
    everything.run_wizard('wizard.generate.result', [('open_', {})],
        active_model=REQUEST, active_id=id_, active_ids=[id_] * 3)
    assert commit(lambda: len(Pool().get(REQUEST)(id_).results)) == 1


@pytest.mark.parametrize('text', TEXTS, ids=lambda text: text[:9])
def test_long_searches(everything, text):
    unclear = {}
    for model in commit(lambda: sorted(models())):
        for operator in ['ilike', 'not ilike', '=']:
            for value in [f'%{text}%', text]:
                answer = is_clear(everything, f'model.{model}.search',
                    [('rec_name', operator, value)])
                if answer is not True:
                    unclear[model, operator] = answer
    assert not unclear


def test_a_search_of_many_words_says_so(everything):
    words = ' '.join(f'w{n}' for n in range(31))
    for model in [REQUEST, 'gnuhealth.imaging.test', STUDY]:
        with pytest.raises(RpcError, match="at most 30 words"):
            everything(f'model.{model}.search', [
                    ('rec_name', 'ilike', f'%{words}%')])
        # The same word is one.
        everything('model.gnuhealth.imaging.test.search', [
                ('rec_name', 'ilike', f'%{"ct " * 300}%')])


ODD = [None, 0, -1, 1.5, True, 2 ** 70, 'x', '', '\0', [], [1], [None], {},
    {'x': 1}, float('nan'), ['x'] * 5000]
OWN = {
    (REQUEST, 'get_worklist_entries'): 2, (REQUEST, 'get_worklist_exams'): 0,
    (SERVER, 'sync_now'): 1, (FORMER, 'carry_over_links'): 4,
    (FORMER, 'missing_synchronizations'): 0,
    ('gnuhealth.imaging.test', 'get_rules'): 0,
    (MACHINE, 'get_machines'): 0, (MACHINE, 'note_asked'): 2,
    ('gnuhealth.imaging_worklist.performed_step', 'receive'): 2}


def test_there_are_no_other_methods_of_our_own(everything):
    def look():
        Plain = Pool().get('ir.note')
        return {
            (model, name) for model, Model in models().items()
            for name, rpc in Model.__rpc__.items()
            if name not in Plain.__rpc__ and rpc.instantiate is None}
    assert commit(look) == OWN.keys()


@pytest.mark.parametrize('model, method', sorted(OWN))
def test_odd_values(everything, model, method):
    count, unclear = OWN[model, method], {}
    usual = {'carry_over_links': ['study', 0, 10, True]}.get(
        method, [None] * count)
    calls = [[*usual[:n], odd, *usual[n + 1:]]
        for n in range(count) for odd in ODD]
    calls += [usual + [odd] for odd in ODD]
    for call in calls:
        answer = is_clear(everything, f'model.{model}.{method}', *call)
        if answer is not True:
            unclear[str(call)[:80]] = answer
    assert not unclear


@pytest.mark.parametrize('filters', [
        {'aetitles': 5}, {'aetitles': 'CT'}, {'aetitles': [None]},
        {'modalities': [2 ** 70]}, {'modalities': [['x']]},
        {'aetitles': ['x'] * 10 ** 5}, {'done': 'x'}, ['x'], 'x', 7,
        {'known': ['x']}, {'known': {'1': 2}}, {'known': 'x'},
        ], ids=lambda filters: str(filters)[:30])
def test_odd_filters_of_the_worklist(everything, filters):
    with pytest.raises(RpcError, match="of another kind"):
        everything(f'model.{REQUEST}.get_worklist_entries', None, filters)


@pytest.mark.parametrize('since', [
        '', 'x', '2026-13-45', '0001-01-01', '9999-12-31T23:59:59+14:00',
        '2026-01-01T00:00:00+00:00', '-1'])
def test_odd_cursors_of_the_worklist(everything, since):
    answer = everything(f'model.{REQUEST}.get_worklist_entries', since, {})
    assert answer['cursor']
