# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What users see: the buttons of each state, the windows that menus and
patients open, and the letters that GNU Health's commands find."""
import pytest
from lxml import etree
from support.records import (
    as_user, make_institution, make_patient, make_requested, make_result,
    make_user)

from trytond.pool import Pool
from trytond.pyson import PYSONDecoder

REQUEST = 'gnuhealth.imaging.test.request'
RESULT = 'gnuhealth.imaging.test.result'


def action(fs_id):
    pool = Pool()
    id_ = pool.get('ir.model.data').get_id('health_imaging', fs_id)
    return pool.get('ir.action').get_action_values(
        'ir.action.act_window', [id_])[0]


def shown(model, values):
    """Return the buttons that a form shows of a record."""
    view = Pool().get(model).fields_view_get(view_type='form')
    decoder = PYSONDecoder(values)
    names = []
    for button in etree.fromstring(view['arch']).iter('button'):
        states = decoder.decode(button.get('states', '{}'))
        if not states.get('invisible'):
            names.append(button.get('name'))
    return set(names)


@pytest.mark.parametrize('state, expected', [
        ('draft', {'send', 'cancel'}),
        ('requested', {'generate_results', 'cancel'}),
        ('done', set()),
        ('canceled', {'draft'}),
        ])
def test_buttons_of_requests(transaction, state, expected):
    own = {'send', 'cancel', 'generate_results', 'draft'}
    assert shown(REQUEST, {'state': state, 'id': 1}) & own == expected


@pytest.mark.parametrize('state, expected', [
        ('draft', {'finalize', 'sign_next'}), ('final', {'amend'})])
def test_buttons_of_results(transaction, state, expected):
    values = {'state': state, 'id': 1, 'request': None, 'revision': 0}
    own = {'finalize', 'sign_next', 'release', 'amend'}
    assert shown(RESULT, values) & own == expected
    # What was signed once, or has no request, is not released.
    for more, released in [
            ({'request': 1}, state == 'draft'),
            ({'request': 1, 'revision': 1}, False)]:
        assert ('release' in shown(RESULT, {**values, **more})) == released


@pytest.mark.parametrize('fs_id, make', [
        ('act_imaging_test_request_view2', make_requested),
        ('act_imaging_test_result_view2', lambda patient: make_result(
                make_requested(patient=patient)))])
def test_windows_of_a_patient(transaction, fs_id, make):
    first, second, third = [make_patient() for _ in range(3)]
    records = [make(patient=p) if make is make_requested else make(p)
        for p in [first, second, third]]
    window = action(fs_id)
    Model = Pool().get(window['res_model'])
    for patients in [[first], [first, second]]:
        ids = [p.id for p in patients]
        domain = PYSONDecoder({
                'active_id': ids[0], 'active_ids': ids}).decode(
            window['pyson_domain'])
        assert set(Model.search(domain)) == set(records[:len(ids)])


@pytest.mark.parametrize('fs_id', [
        'act_imaging_test_request_view', 'act_imaging_test_result_view',
        'act_imaging_test_type_view', 'act_imaging_test_view',
        'act_imaging_report_template_form',
        'act_imaging_test_request_view2', 'act_imaging_test_result_view2'])
def test_windows_open_a_list_then_a_form(transaction, fs_id):
    window = action(fs_id)
    Model = Pool().get(window['res_model'])
    kinds = [kind for _, kind in window['views']] or ['tree', 'form']
    assert kinds == ['tree', 'form']
    for id_, kind in window['views'] or [(None, 'tree'), (None, 'form')]:
        view = Model.fields_view_get(id_, kind)
        assert view['type'] == kind


def test_tabs_hold_every_request_and_result(transaction):
    make_institution()
    draft = make_result()
    for fs_id, model in [
            ('act_imaging_test_request_view', REQUEST),
            ('act_imaging_test_result_view', RESULT)]:
        Model = Pool().get(model)
        everything = set(Model.search([]))
        assert everything
        parts = []
        for _, domain, _ in action(fs_id)['domains']:
            parts.append(set(Model.search(PYSONDecoder({}).decode(domain))))
        *states, all_ = parts
        assert all_ == everything == set.union(*states)
        assert sum(map(len, states)) == len(everything)
    assert draft.state == 'draft'


def test_images_are_shown_as_pictures(transaction):
    view = Pool().get(RESULT).fields_view_get(view_type='form')
    field = etree.fromstring(view['arch']).xpath('//field[@name="images"]')[0]
    ids = [int(id_) for id_ in field.get('view_ids').split(',')]
    Attachment = Pool().get('ir.attachment')
    listing = Attachment.fields_view_get(ids[0], 'tree')
    picture, = etree.fromstring(listing['arch']).xpath(
        '//field[@name="imaging_thumbnail"]')
    assert picture.get('widget') == 'image'
    form = Attachment.fields_view_get(ids[1], 'form')
    assert {'name', 'data', 'description'} <= set(form['fields'])


def test_attachments_elsewhere_look_as_ever(transaction):
    """The list of attachments of any other record has no pictures."""
    Attachment = Pool().get('ir.attachment')
    for kind in ['tree', 'form']:
        view = Attachment.fields_view_get(view_type=kind)
        assert 'imaging_thumbnail' not in view['fields']


def test_command_finds_the_results(transaction):
    command, = Pool().get('gnuhealth.command').search([('name', '=', 'mi')])
    assert command.model == RESULT


def test_modalities_are_offered_as_a_choice(transaction):
    user = make_user('admin_imaging',
        'health_imaging.group_health_imaging_admin')
    with as_user(user):
        view = Pool().get('gnuhealth.imaging.test').fields_view_get(
            view_type='form')
    field, = etree.fromstring(view['arch']).xpath(
        '//field[@name="test_type"]')
    assert field.get('widget') == 'selection'
