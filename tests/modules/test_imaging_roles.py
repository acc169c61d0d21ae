# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The roles of imaging: who orders, who images, who reports, who asks at the
desk, and who corrects.  What each group may is in test_imaging_rights."""
import pytest
from support.records import (
    as_user, commit, make_attachment, make_final, make_hospital,
    make_professional, make_request, make_requested, make_result, make_user,
    on, run_wizard, user)

from trytond.model.exceptions import AccessError
from trytond.model.modelview import AccessButtonError
from trytond.modules.health_imaging.exceptions import NotAmenderError
from trytond.modules.health_imaging.rights import groups_of
from trytond.modules.health_imaging.roles import bring_reporting
from trytond.pool import Pool
from trytond.transaction import Transaction

REQUEST = 'gnuhealth.imaging.test.request'
RESULT = 'gnuhealth.imaging.test.result'
IMAGING = 'health_imaging.group_health_imaging'
REPORTING = f'{IMAGING}_reporting'
REFUSED = AccessError, AccessButtonError
# What the other modules add belongs to the images.
HIDDEN = [
    'results', 'orthanc_studies', 'candidates', 'offer', 'number_of_images']


@pytest.fixture
def hospital(roles, transaction):
    "The users of the file, and a transaction for what a test makes."


@pytest.fixture(scope='module')
def roles(activated):
    commit(make_roles)


def make_roles():
    "Make users by the name of their role, who have one group each."
    make_hospital()
    for login, group in [
            ('reporter', REPORTING), ('colleague', REPORTING),
            ('desk', f'{IMAGING}_front_desk'), ('lead', f'{IMAGING}_admin')]:
        made = make_user(login, group)
        if group == REPORTING:
            make_professional(made, login.title(), "Tamang")


def model(name, *records):
    "Return a model, or its records for the present user."
    Model = Pool().get(name)
    return [Model(r.id) for r in records] if records else Model


def amend(result, reason="Wrong side."):
    run_wizard(f'{RESULT}.amend',
        [('start', {}), ('amend', {'start': {'reason': reason}})],
        **on(result))


def put_into(login, group):
    groups, _ = groups_of(group)
    User = Pool().get('res.user')
    User.write([user(login)], {'groups': [('add', [g.id for g in groups])]})


def take_out(login, group):
    groups, _ = groups_of(group)
    User = Pool().get('res.user')
    User.write(
        [user(login)], {'groups': [('remove', [g.id for g in groups])]})


# Reporting alone

def test_reporting_is_enough_to_work(hospital):
    "Its members need no other group: they order, report and sign."
    request = make_request()
    with as_user(user('reporter')):
        request, = model(REQUEST, request)
        type(request).requested([request])
        type(request).generate_results([request])
        result, = request.results
        type(result).write([result], {'comment': "No fracture."})
        make_attachment(result)
        type(result).finalize([result])
        assert result.signed_by.party.internal_user == user('reporter')


def test_who_reports_deletes_what_is_empty(hospital):
    result = make_result()
    with as_user(user('reporter')):
        results = model(RESULT, result)
        request = results[0].request
        type(results[0]).delete(results)
        assert request.state == 'requested'


# Who reads only

READERS = pytest.mark.parametrize('login', ['technician', 'doctor', 'lead'])


@READERS
def test_results_are_made_by_no_way(hospital, login):
    "Neither by themselves nor through their request."
    request = make_requested()
    values = {
        'patient': request.patient.id, 'doctor': request.doctor.id,
        'requested_test': request.requested_test.id}
    with as_user(user(login)):
        request, = model(REQUEST, request)
        for make in [
                lambda: model(RESULT).create([values]),
                lambda: type(request).write([request], {
                        'results': [('create', [values])]}),
                lambda: type(request).generate_results([request]),
                lambda: run_wizard(
                    'wizard.generate.result', [('open_', {})], **on(request)),
                ]:
            with pytest.raises(REFUSED):
                make()
    assert not model(RESULT).search([])


@READERS
def test_results_are_changed_by_no_way(hospital, login):
    result = make_result(comment="No fracture.")
    id_ = result.id
    with as_user(user(login)):
        result, = model(RESULT, result)
        assert result.comment == "No fracture."
        request = result.request
        for change in [
                lambda: type(result).write([result], {'comment': "x"}),
                lambda: type(request).write([request], {
                        'results': [('write', [id_], {'comment': "x"})]}),
                lambda: type(request).write([request], {
                        'results': [('delete', [id_])]}),
                lambda: type(result).finalize([result]),
                lambda: type(result).copy([result]),
                lambda: type(result).delete([result]),
                ]:
            with pytest.raises(REFUSED):
                change()
    result, = model(RESULT).search([])
    assert (result.id, result.comment, result.state) == (
        id_, "No fracture.", 'draft')


@READERS
def test_attachments_of_results_follow_the_right_to_write(hospital, login):
    result = make_result()
    kept, ordered = make_attachment(result), make_attachment(result.request)
    values = {
        'name': 'x', 'type': 'data', 'data': b'x', 'resource': str(result)}
    with as_user(user(login)):
        Attachment = model('ir.attachment')
        kept, ordered = Attachment(kept.id), Attachment(ordered.id)
        assert kept.data
        # Requests they write.
        Attachment.write([ordered], {'name': 'order.png'})
        for change in [
                lambda: Attachment.create([values]),
                lambda: Attachment.write([kept], {'name': 'x'}),
                lambda: Attachment.write(
                    [ordered], {'resource': str(result)}),
                lambda: Attachment.write(
                    [kept], {'resource': str(result.request)}),
                lambda: Attachment.copy([kept]),
                lambda: Attachment.delete([kept]),
                ]:
            with pytest.raises(REFUSED):
                change()


# The front desk

def test_the_desk_sees_requests_without_what_was_found(hospital):
    request = make_result(comment="No fracture.").request
    with as_user(user('desk')):
        Request = model(REQUEST)
        for kind in ['tree', 'form']:
            view = Request.fields_view_get(view_type=kind)
            assert not set(HIDDEN) & view['fields'].keys()
            names = list(view['fields']) + [
                f'{name}.rec_name' for name, field in view['fields'].items()
                if field['type'] == 'many2one']
            row, = Request.read([request.id], names)
            assert row['patient.']['rec_name']
        for name in [*HIDDEN, 'results.comment']:
            for ask in [
                    lambda: Request.read([request.id], [name]),
                    lambda: Request.search_read([], fields_names=[name]),
                    lambda: Request.export_data(
                        [Request(request.id)], [name.replace('.', '/')]),
                    ]:
                with pytest.raises(REFUSED):
                    ask()
        for name in ['results.comment', 'orthanc_studies.description']:
            with pytest.raises(REFUSED):
                Request.search([(name, 'ilike', '%fracture%')])


def test_what_the_desk_must_not_see_does_not_hide_it_from_others(hospital):
    "A clerk who also works with images sees them."
    request = make_result().request
    for group in [IMAGING, f'{IMAGING}_admin', 'health.group_health_doctor']:
        both = make_user(f'both {group}', group, f'{IMAGING}_front_desk')
        with as_user(both):
            request, = model(REQUEST, request)
            assert request.results
            type(request).read([request.id], HIDDEN)


def test_the_desk_changes_no_request(hospital):
    request = make_request()
    with as_user(user('desk')):
        request, = model(REQUEST, request)
        for change in [
                lambda: type(request).write([request], {'comment': "x"}),
                lambda: type(request).requested([request]),
                lambda: type(request).cancel([request]),
                lambda: type(request).copy([request]),
                lambda: type(request).delete([request]),
                lambda: make_attachment(request),
                ]:
            with pytest.raises(REFUSED):
                change()


def test_the_desk_looks_after_patients_as_that_of_gnu_health(hospital):
    with as_user(user('desk')):
        Access = Pool().get('ir.model.access')
        model_ = 'gnuhealth.patient'
        mine = Access.get_access([model_])[model_]
    with as_user(make_user('other desk', 'health.group_health_frontdesk')):
        other = Access.get_access([model_])[model_]
    assert mine == other
    assert mine['write'] and mine['create'] and not mine['delete']


def test_the_menu_of_the_desk_has_requests_and_who_is_to_come(hospital):
    Menu = Pool().get('ir.ui.menu')
    menu = Pool().get('ir.model.data').get_id('health_imaging', 'menu_imaging')
    with as_user(user('desk')):
        assert [m.name for m in Menu.search([('parent', '=', menu)])] == [
            "Worklist", "Calendar", "Requests"]
        toolbar = model(REQUEST).view_toolbar_get()
    assert not {a['name'] for kind in ['action', 'print']
        for a in toolbar[kind]} & {"Generate Results", "Cancel Requests"}


# Who amends

def test_who_signed_amends(hospital):
    result = make_final(user('reporter'))
    with as_user(user('reporter')):
        amend(result)
    assert model(RESULT, result)[0].state == 'draft'


@pytest.mark.parametrize('way', ['button', 'wizard'])
def test_another_who_reports_is_told_who_amends(hospital, way):
    result = make_final(user('reporter'))
    with as_user(user('colleague')), pytest.raises(NotAmenderError) as error:
        if way == 'button':
            model(RESULT).amend(model(RESULT, result))
        else:
            amend(result)
    for text in [result.number, "Tamang", "Health Imaging Administration"]:
        assert text in error.value.message
    assert model(RESULT, result)[0].state == 'final'


def test_who_signed_and_reports_no_more_does_not_amend(hospital):
    result = make_final(user('reporter'))
    take_out('reporter', REPORTING)
    put_into('reporter', IMAGING)
    with as_user(user('reporter')), pytest.raises(REFUSED):
        amend(result)
    assert model(RESULT, result)[0].state == 'final'


def test_the_administration_amends_and_others_go_on(hospital):
    """The one who signed may have left: whoever reports then edits the text
    and signs, and amends from then on."""
    result = make_final(user('reporter'))
    with as_user(user('lead')):
        amend(result, "She has left.")
        result, = model(RESULT, result)
        assert (result.state, result.revision) == ('draft', 1)
        assert len(result.former_reports) == 1
        with pytest.raises(REFUSED):
            type(result).write([result], {'comment': "Fracture."})
        with pytest.raises(REFUSED):
            type(result).finalize([result])
    with as_user(user('colleague')):
        result, = model(RESULT, result)
        type(result).write([result], {'comment': "Fracture."})
        type(result).finalize([result])
        amend(result, "Mine.")
    with as_user(user('reporter')):
        result, = model(RESULT, result)
        assert result.revision == 2


def test_who_reports_amends_what_nobody_known_signed(hospital):
    "5.0.4 did not note who signed."
    result = make_final(user('reporter'))
    table = model(RESULT).__table__()
    Transaction().connection.cursor().execute(*table.update(
            [table.signed_by], [None], where=table.id == result.id))
    for cache in Transaction().cache.values():
        cache.clear()
    with as_user(user('technician')), pytest.raises(REFUSED):
        amend(result)
    with as_user(user('colleague')):
        amend(result)
    assert model(RESULT, result)[0].state == 'draft'


# The upgrade that brings the group

@pytest.fixture
def before_reporting(hospital):
    """A hospital that has not got the group yet: reporter and colleague were
    in Health Imaging, the doctor has signed, another one has not."""
    make_professional(
        make_user('idle', 'health.group_health_doctor'), "Ian", "Idle")
    signed = make_final(user('radiologist'))
    Result = type(signed)
    signer, = Pool().get('gnuhealth.healthprofessional').search(
        [('party.internal_user', '=', user('doctor').id)])
    table = Result.__table__()
    Transaction().connection.cursor().execute(*table.update(
            [table.signed_by], [signer.id], where=table.id == signed.id))
    (group,), _ = groups_of(REPORTING)
    for login in ['reporter', 'colleague']:
        put_into(login, IMAGING)
    Data = Pool().get('ir.model.data')
    Data.delete(Data.search([('fs_id', '=', REPORTING.split('.')[1])]))
    Data._get_id_cache.clear()
    # Deleting it would take what the module ships for it.
    type(group).write([group], {'name': "Another", 'parent': None})
    return Result


def members(group=REPORTING):
    (group,), _ = groups_of(group)
    return {u.login for u in group.users}


def test_who_reported_goes_on(before_reporting, caplog):
    bring_reporting(before_reporting, 'health_imaging')
    assert members() == {'radiologist', 'reporter', 'colleague', 'doctor'}
    assert "colleague, doctor, radiologist, reporter" in caplog.text


def test_it_is_done_once(before_reporting):
    "Also for those who come later."
    bring_reporting(before_reporting, 'health_imaging')
    take_out('colleague', REPORTING)
    put_into('idle', IMAGING)
    bring_reporting(before_reporting, 'health_imaging')
    assert members() == {'radiologist', 'reporter', 'doctor'}


def test_other_modules_bring_no_group(before_reporting):
    bring_reporting(before_reporting, 'health_orthanc')
    with pytest.raises(KeyError):
        members()
