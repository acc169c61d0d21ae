# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What GNU Health 5.0.4 had of health_imaging is still there, by name and
type, so that its databases and the modules that build on it go on."""
import json
from pathlib import Path

import pytest

from trytond.model import fields
from trytond.pool import Pool

MODULE = 'health_imaging'
DATA = json.loads(
    (Path(__file__).parents[1] / 'data/gnuhealth-5.0.4-interface.json')
    .read_text(encoding='utf-8'))
# Where this differs, and why.
EXCEPTIONS = {
    'button gnuhealth.imaging.test.request update_service':
        "health_services_imaging, whose button it is, registers it itself",
    'menu health_imaging.menu_imaging_test_parent Health Imaging':
        "configuration is for Health Imaging Administration",
    **{f'access gnuhealth.imaging.test.result {group} {mode}':
        "results are written by Health Imaging Reporting" for group in [
            'Health Doctor', 'Health Imaging',
            'Health Imaging Administration'] for mode in ['write', 'create']},
    }


def items(values, label):
    return pytest.mark.parametrize('item', list(values), ids=label)


def own_fields():
    for model, description in DATA['models'].items():
        for name, field in description['fields'].items():
            if field['module'] == MODULE:
                yield model, name, field


def own_models():
    return {
        name: description for name, description in DATA['models'].items()
        if description['module'] == MODULE}.items()


@items(own_models(), lambda item: item[0])
def test_models(transaction, item):
    name, description = item
    Model = Pool().get(name)
    assert getattr(Model, '_table', None) == description.get('table')


@items(own_fields(), lambda item: f'{item[0]}-{item[1]}')
def test_fields(transaction, item):
    model, name, description = item
    field = Pool().get(model)._fields[name]
    kinds = {fields.Function: 'function', fields.MultiValue: 'multivalue'}
    kind = kinds.get(type(field))
    assert kind == description.get('kind')
    assert field._type == description['type']
    if 'relation' in description:
        relation = getattr(field, 'relation_name', None) or field.model_name
        assert relation == description['relation']
    if description.get('required'):
        assert field.required or 'required' in field.states
    if 'selection' in description:
        assert {v for v, _ in field.selection if v} >= set(
            description['selection'])
    if description['stored'] and field._type not in {
            'one2many', 'many2many'}:
        Model = Pool().get(model)
        handler = Model.__table_handler__(MODULE)
        assert handler.column_exist(name)


@items([
        (model, button) for model, description in own_models()
        for button in description.get('buttons', [])],
    lambda item: '-'.join(item))
def test_buttons(transaction, item):
    model, name = item
    there = name in Pool().get(model)._buttons
    assert there == (f'button {model} {name}' not in EXCEPTIONS)


@items([
        (model, fs_id)
        for model, ids in DATA['xml_ids'][MODULE].items() for fs_id in ids],
    lambda item: item[1])
def test_xml_ids(transaction, item):
    model, fs_id = item
    row, = Pool().get('ir.model.data').search([
            ('module', '=', MODULE), ('fs_id', '=', fs_id)])
    assert row.model == model
    # Inactive ones, such as users, count.
    assert Pool().get(model).browse([row.db_id])[0].rec_name


@items([m for m in DATA['menus'] if m['id'].startswith(f'{MODULE}.')],
    lambda item: item['id'])
def test_menus(transaction, item):
    pool = Pool()
    menu = pool.get('ir.ui.menu')(
        pool.get('ir.model.data').get_id(*item['id'].split('.')))
    assert menu.sequence == item['sequence']
    assert len(menu.complete_name.split(' / ')) == len(
        item['path'].split(' / '))
    missing = set(item['groups']) - {group.name for group in menu.groups}
    assert {f'menu {item["id"]} {group}' for group in missing} <= set(
        EXCEPTIONS)


@items([a for a in DATA['access'] if a['model'] in dict(own_models())],
    lambda item: f'{item["model"]}-{item["group"]}')
def test_access(transaction, item):
    rows = Pool().get('ir.model.access').search([
            ('model.model', '=', item['model']),
            ('group.name', '=', item['group']) if item['group']
            else ('group', '=', None)])
    modes = ['read', 'write', 'create', 'delete']
    less = {
        mode for mode in modes
        if f'access {item["model"]} {item["group"]} {mode}' in EXCEPTIONS}
    assert [{mode: getattr(row, f'perm_{mode}') for mode in modes}
        for row in rows] == [
        {mode: bool(item[mode]) and mode not in less for mode in modes}]


@items([w for w in DATA['wizards'] if w['id'].startswith(f'{MODULE}.')],
    lambda item: item['id'])
def test_wizards(transaction, item):
    pool = Pool()
    action = pool.get('ir.action.wizard')(
        pool.get('ir.model.data').get_id(*item['id'].split('.')))
    assert action.wiz_name == item['wiz_name']
    assert (action.model or None) == item['model']
    Wizard = pool.get(item['wiz_name'], type='wizard')
    assert Wizard.start_state == item['start']
    assert set(Wizard.states) >= set(item['states'])


@items([r for r in DATA['reports'] if r['id'].startswith(f'{MODULE}.')],
    lambda item: item['id'])
def test_reports(transaction, item):
    pool = Pool()
    action = pool.get('ir.action.report')(
        pool.get('ir.model.data').get_id(*item['id'].split('.')))
    assert action.report_name == item['report_name']
    assert action.model == item['model']
    assert action.extension == item['extension']
    assert pool.get(item['report_name'], type='report')


def test_exceptions_are_of_this_interface():
    for exception in EXCEPTIONS:
        kind, name, value = exception.split(' ', 2)
        if kind == 'button':
            assert value in DATA['models'][name]['buttons']
        elif kind == 'access':
            group, mode = value.rsplit(' ', 1)
            row, = [a for a in DATA['access']
                if (a['model'], a['group']) == (name, group)]
            assert row[mode]
        else:
            menu, = [m for m in DATA['menus'] if m['id'] == name]
            assert value in menu['groups']
