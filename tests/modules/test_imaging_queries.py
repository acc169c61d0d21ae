# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Lists with ten thousand records: how many SQL queries it takes to read one
page does not depend on the rows of the page, nor on those of the table.  All
modules are active, and their columns are read."""
import re
from collections import Counter

import pytest
from support.imaging_lists import (
    REQUEST, RESULT, fill, fill_studies, read_page)
from support.records import as_user, commit, make_hospital, user
from support.statements import columns, counted
from support.synchronizing import new_server

from trytond.modules.health_imaging.reading import READING_ORDER
from trytond.pool import Pool
from trytond.transaction import without_check_access

ROWS = 10000
# What trytond asks for each number that it gives.
OF_SEQUENCES = re.compile('ir_sequence|ir_model_data')


@pytest.fixture(scope='module')
def hospital(activated):
    commit(make_hospital)
    commit(lambda: fill(ROWS))
    commit(lambda: fill_studies(ROWS, new_server('http://lists.invalid')))


@pytest.fixture
def filled(hospital, transaction):
    return user('radiologist')


def read_again(*arguments):
    """Read a page when trytond keeps what it keeps for all transactions, such
    as rights and translations."""
    read_page(*arguments)
    return read_page(*arguments)


@pytest.mark.parametrize('model', [REQUEST, RESULT])
def test_queries_of_a_page_do_not_depend_on_its_rows(filled, model):
    with as_user(filled):
        names = columns(model, 'tree')
        assert {'patient', 'patient.rec_name', 'rec_name'} <= set(names)
        few, _ = read_again(model, names, 0, 5)
        many, rows = read_again(model, names, 7000, 100)
    assert len({row['rec_name'] for row in rows}) == 100
    if model == REQUEST:
        assert {'CT', 'MR', 'US'} < {row['modality'] for row in rows}
        assert len({row['number_of_images'] for row in rows}) > 5
    # Requests that are not open have a query of their own.
    assert len(many) <= len(few) + 2 * (model == REQUEST), '\n'.join(
        sorted(many))
    assert len(many) < 22


@pytest.mark.parametrize('model', [REQUEST, RESULT])
def test_queries_of_the_form_fields_do_not_depend_on_the_rows(filled, model):
    """Clients load the fields of forms of several records too."""
    with as_user(filled):
        names = columns(model, 'form')
        # Forms show the entry of the worklist on demand only.
        names += ['worklist_text'] * (model == REQUEST)
        # Both pages are of requests that are done, and have studies.
        few, _ = read_again(model, names, 7000, 5)
        many, rows = read_again(model, names, 7000, 100)
    assert len(many) == len(few), '\n'.join(sorted(many))
    assert any(row['orthanc_studies'] for row in rows)
    if model == REQUEST:
        assert any(row['results'] for row in rows)
    else:
        assert all(row['images'] for row in rows)


def test_queries_of_the_reading_list_do_not_depend_on_its_rows(filled):
    pool = Pool()
    view = pool.get('ir.model.data').get_id(
        'health_imaging', 'reading_list_view_list')
    domain = [('to_read', '=', True)]
    with as_user(filled):
        names = columns(REQUEST, 'tree', view)
        assert {'reading_wait', 'priors', 'number_of_images', 'patient_sex',
            'claimed_by'} < set(names)
        few, _ = read_again(REQUEST, names, 0, 5, domain, READING_ORDER)
        more, _ = read_again(REQUEST, names, 1000, 100, domain, READING_ORDER)
        many, rows = read_again(
            REQUEST, names, 1000, 200, domain, READING_ORDER)
    assert len(few) == len(more), '\n'.join(sorted(more))
    # Blocks of some hundred names take a query more.
    assert len(many) <= len(few) + 3 < 25, '\n'.join(sorted(many))
    assert all(row['reading_wait'] and row['priors'] for row in rows)


def test_tabs_of_the_reading_list_take_few_queries(filled):
    Action = Pool().get('ir.action.act_window')
    Exam = Pool().get('gnuhealth.imaging.test')
    with as_user(filled):
        Action.get('health_imaging.act_reading_list')
        with counted() as few:
            Action.get('health_imaging.act_reading_list')
        with without_check_access():
            exam, = Exam.search([], limit=1)
            Exam.create([{
                        'name': f"Exam {n}", 'code': f'MANY{n}',
                        'test_type': exam.test_type.id,
                        'product': exam.product.id} for n in range(100)])
        with counted() as many:
            Action.get('health_imaging.act_reading_list')
    assert len(many) <= len(few)


def test_queries_of_a_search_do_not_depend_on_the_rows(filled):
    domain = [('rec_name', 'ilike', '%Family7%')]
    with as_user(filled):
        names = columns(REQUEST, 'tree')
        few, _ = read_again(REQUEST, names, 0, 5, domain)
        many, _ = read_again(REQUEST, names, 0, 100, domain)
    assert len(few) == len(many)


def test_counts_of_the_tabs_take_a_query_each(filled):
    Request = Pool().get(REQUEST)
    with as_user(filled):
        Request.search_count([('state', '=', 'canceled')])
        for domain in [
                [('state', '=', 'draft')], [('state', '=', 'done')], []]:
            with counted() as queries:
                assert Request.search_count(domain) > 3000
            assert len(queries) == 1


def test_making_results_asks_once_for_all(filled):
    """A number and a row each, and nothing else that is asked one by one."""
    Request = Pool().get(REQUEST)
    waiting = Request.search([('state', '=', 'requested')], limit=50)
    with counted() as queries:
        Request.make_results(waiting)
    asked = Counter(
        query.split(' WHERE ')[0] for query in queries
        if query.startswith('SELECT') and not OF_SEQUENCES.search(query))
    assert max(asked.values()) < 10, asked.most_common(1)
