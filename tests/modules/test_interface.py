# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What GNU Health 5.0.4 had of health_imaging_worklist and health_orthanc is
still there, by name and type, so that its databases and the modules that
build on it go on.  Where it is not, the documentation says why."""
import json
from pathlib import Path

import pytest

from trytond.model import fields
from trytond.pool import Pool

ROOT = Path(__file__).parents[2]
DATA = json.loads(
    (ROOT / 'tests' / 'data' / 'gnuhealth-5.0.4-interface.json')
    .read_text(encoding='utf-8'))
OWN = ['health_imaging_worklist', 'health_orthanc']
GUIDE = ROOT / 'doc' / 'upgrade.rst'
# What differs, by the words with which the guide explains it.
EXCEPTIONS = {
    'field gnuhealth.imaging.test.request show_worklist_text':
        "``show_worklist_text``",
    'field gnuhealth.imaging_orthanc.study server': "``server``",
    'field gnuhealth.imaging_orthanc.study patient_name': "``patient_name``",
    'field gnuhealth.orthanc.config password': "``password``",
    }


def parameters(values, label):
    return pytest.mark.parametrize('item', list(values), ids=label)


def own_fields():
    return [
        (model, name, field)
        for model, description in DATA['models'].items()
        for name, field in description['fields'].items()
        if field['module'] in OWN]


def own(kind):
    return [
        item for item in DATA[kind] if item['id'].split('.')[0] in OWN]


def record(model, xml_id):
    pool = Pool()
    return pool.get(model)(
        pool.get('ir.model.data').get_id(*xml_id.split('.')))


def kind_of(field):
    kinds = {fields.Function: 'function', fields.MultiValue: 'multivalue'}
    return kinds.get(type(field))


def field_problems(model, name, description):
    "Yield in what a field differs from the one of 5.0.4."
    field = Pool().get(model)._fields[name]
    if field._type != description['type']:
        yield f"type {field._type}"
    if kind_of(field) != description.get('kind'):
        yield f"kind {kind_of(field)}"
    relation = description.get('relation')
    if relation and relation != (
            getattr(field, 'relation_name', None) or field.model_name):
        yield "relation"
    stored = description.get('kind') != 'function'
    if stored and description.get('required') and not (
            field.required or 'required' in field.states):
        yield "not required"
    if description.get('searchable') and not field.searchable(
            Pool().get(model)):
        yield "not searchable"
    missing = set(description.get('selection', [])) - {
        value for value, _ in getattr(field, 'selection', [])}
    if missing:
        yield f"selection {missing}"


@parameters([
        (name, description) for name, description in DATA['models'].items()
        if description['module'] in OWN],
    lambda item: item[0])
def test_models(transaction, item):
    name, description = item
    Model = Pool().get(name)
    assert getattr(Model, '_table', None) == description.get('table')
    assert set(description.get('buttons', [])) <= set(
        getattr(Model, '_buttons', {}))


@parameters(own_fields(), lambda item: f'{item[0]}-{item[1]}')
def test_fields(transaction, item):
    model, name, description = item
    problems = list(field_problems(model, name, description))
    assert bool(problems) == (f'field {model} {name}' in EXCEPTIONS), problems


@parameters([
        (module, model, fs_id)
        for module in OWN
        for model, ids in DATA['xml_ids'][module].items() for fs_id in ids],
    lambda item: item[2])
def test_xml_ids(transaction, item):
    module, model, fs_id = item
    row, = Pool().get('ir.model.data').search([
            ('module', '=', module), ('fs_id', '=', fs_id)])
    assert row.model == model
    assert Pool().get(model).browse([row.db_id])[0].rec_name is not None


@parameters(own('menus'), lambda item: item['id'])
def test_menus(transaction, item):
    menu = record('ir.ui.menu', item['id'])
    assert len(menu.complete_name.split(' / ')) == len(
        item['path'].split(' / '))
    assert set(item['groups']) <= {group.name for group in menu.groups}


@parameters(own('wizards'), lambda item: item['id'])
def test_wizards(transaction, item):
    action = record('ir.action.wizard', item['id'])
    assert action.wiz_name == item['wiz_name']
    assert (action.model or None) == item['model']
    Wizard = Pool().get(item['wiz_name'], type='wizard')
    assert Wizard.start_state == item['start']
    assert set(Wizard.states) >= set(item['states'])


def test_other_modules_find_what_they_import():
    from trytond.modules.health_orthanc.study import Study
    assert callable(Study.get_merge_id)


def test_exceptions_are_explained():
    guide = GUIDE.read_text(encoding='utf-8')
    known = {f'field {model} {name}' for model, name, _ in own_fields()}
    for exception, words in EXCEPTIONS.items():
        assert exception in known
        assert words in guide
