# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A client writes what only the workflow, the synchronization and the server
fill in: every stored field that people only read, of every model, over RPC by
a user with all roles, to whom an administrator has given all rights."""
import pytest
from support.everything import make, make_user_of_all, models, record, value
from support.records import (
    Rpc, RpcError, commit, make_attachment, make_request)

from trytond.model import fields
from trytond.pool import Pool

REQUEST = 'gnuhealth.imaging.test.request'
RESULT = 'gnuhealth.imaging.test.result'
STUDY = 'gnuhealth.imaging_orthanc.study'
ATTACHMENT = 'ir.attachment'
# Numbers that another program may give to a new record, and nobody later.
GIVEN_ONCE = {
    (REQUEST, 'request'), (REQUEST, 'request_line'), (RESULT, 'number'),
    (RESULT, 'order'), (RESULT, 'request_date')}
# Of studies people choose the result, also from its side.
CHOSEN = {(RESULT, 'orthanc_studies')}


@pytest.fixture(scope='module')
def everything(activated):
    "A user to whom an administrator has given everything."
    commit(lambda: make_user_of_all('everything'))
    return Rpc('everything')


def kept_fields():
    """Return triples of model, field and its definition: stored, and read
    only for people whatever the state of the record."""
    Attachment = Pool().get(ATTACHMENT)
    found = [
        (model, name, field) for model, Model in sorted(models().items())
        for name, field in Model._fields.items()]
    found += [
        (ATTACHMENT, name, field) for name, field in Attachment._fields.items()
        if name.startswith('imaging_')]
    return [
        (model, name, field) for model, name, field in found
        if field.readonly and name not in ModelBase
        and not isinstance(field, fields.Function)]


ModelBase = {'id', 'create_uid', 'create_date', 'write_uid', 'write_date'}


def stored(model, id_, name):
    "Return what is in the database."
    def read():
        found = getattr(Pool().get(model)(id_), name)
        if isinstance(found, tuple):
            return [getattr(f, 'id', f) for f in found]
        # Nothing and none are one.
        return getattr(found, 'id', found) or None
    return commit(read)


def test_there_are_such_fields(everything):
    found = {(model, name) for model, name, _ in commit(kept_fields)}
    assert len(found) > 100
    assert {
        (REQUEST, 'worklist_status'), (REQUEST, 'merge_id'),
        (RESULT, 'signed_by'), (RESULT, 'merge_id'),
        (ATTACHMENT, 'imaging_study')} < found


def test_write_them(everything):
    written = []
    for model, name, field in commit(kept_fields):
        id_ = commit(lambda: record(model).id)
        new = commit(lambda: value(
                model, name, getattr(record(model), name)))
        before = stored(model, id_, name)
        for values in [{name: new}, {name: None}]:
            if isinstance(field, fields.One2Many) and not values[name]:
                continue
            try:
                everything(f'model.{model}.write', [id_], values)
            except RpcError as error:
                assert error.kind in {'UserError', '403'}, (model, name, error)
            if stored(model, id_, name) != before:
                written.append((model, name))
    assert set(written) == CHOSEN


def test_give_them_to_new_records(everything):
    given = []
    for model, name, field in commit(kept_fields):
        if (model, name) in GIVEN_ONCE or isinstance(field, fields.One2Many):
            continue
        new = commit(lambda: value(model, name))
        values = commit(lambda: new_values(model))
        try:
            id_, = everything(
                f'model.{model}.create', [{**values, name: new}])
        except RpcError as error:
            assert error.kind in {'UserError', '403'}, (model, name, error)
            continue
        if stored(model, id_, name) == new:
            given.append((model, name))
    assert not given


def new_values(model):
    "Return what a client gives to a new record."
    Model = Pool().get(model)
    if model == ATTACHMENT:
        return {'name': 'x', 'type': 'data',
            'resource': str(record(RESULT))}
    return {
        name: value(model, name) for name, field in Model._fields.items()
        if field.required and not field.readonly or name == 'password'}


def doors():
    """Return triples of model, field and target: the lists of records through
    which kept fields are reached."""
    kept = {model for model, _, _ in kept_fields()}
    return sorted(
        (model, name, field.model_name)
        for model, Model in [
            *models().items(),
            ('gnuhealth.patient', Pool().get('gnuhealth.patient'))]
        for name, field in Model._fields.items()
        if isinstance(field, fields.One2Many) and field.model_name in kept)


def test_write_them_through_others(everything):
    kept, written = commit(kept_fields), []
    for parent, door, model in commit(doors):
        for name, field in [(n, f) for m, n, f in kept if m == model]:
            if isinstance(field, fields.One2Many):
                continue
            id_, new = commit(lambda: (record(model).id, value(
                        model, name, getattr(record(model), name))))
            before = stored(model, id_, name)
            through = commit(lambda: record(parent).id)
            try:
                everything(f'model.{parent}.write', [through], {
                        door: [('write', [id_], {name: new})]})
            except RpcError as error:
                assert error.kind == 'UserError', (parent, door, name, error)
            if stored(model, id_, name) != before:
                written.append((parent, door, name))
    assert not written


def test_rewrite_a_picture_to_be_of_the_study(everything):
    def arrange():
        result, study = make(RESULT), make(STUDY)
        return result.id, str(result), study.id
    result, resource, study = commit(arrange)
    picture = {'name': 'x.png', 'type': 'data', 'data': b'x'}
    for call in [
            (f'model.{ATTACHMENT}.create', [
                    {'resource': resource, 'imaging_study': study,
                        **picture}]),
            (f'model.{RESULT}.write', [result], {
                    'images': [('create', [
                                {**picture, 'imaging_study': study}])]}),
            ]:
        with pytest.raises(RpcError, match="filled in by the system"):
            everything(*call)


def test_a_copied_picture_stays_of_its_study(everything):
    def arrange():
        study = make(STUDY)
        return study.id, make_attachment(
            make(RESULT), imaging_study=study.id).id, str(make(RESULT))
    study, attachment, other = commit(arrange)
    for default in [
            {'resource': other}, {'resource': other, 'imaging_study': None}]:
        copy, = everything(f'model.{ATTACHMENT}.copy', [attachment], default)
        assert stored(ATTACHMENT, copy, 'imaging_study') == study


def test_the_worklist_goes_on(everything):
    "What may not be written is still told, and follows the workflow."
    id_ = commit(lambda: make_request().id)
    uid = stored(REQUEST, id_, 'merge_id')
    everything(f'model.{REQUEST}.requested', [id_])
    told = everything(f'model.{REQUEST}.get_worklist_entries')
    assert uid in {e['study_instance_uid'] for e in told['entries']}
    copy, = everything(f'model.{REQUEST}.copy', [id_])
    assert stored(REQUEST, copy, 'merge_id') not in {None, uid}
    assert stored(REQUEST, copy, 'worklist_status') == 'todo'
    result, = everything(f'model.{RESULT}.create', [{'request': id_}])
    assert stored(RESULT, result, 'merge_id') == uid
    assert stored(REQUEST, id_, 'worklist_status') == 'done'
