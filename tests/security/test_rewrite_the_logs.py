# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who has done something he should not have takes it out of the logs: an
administrator who gives himself all rights on them."""
import pytest
from support.everything import make, make_user_of_all
from support.records import Rpc, RpcError, commit, make_attachment, make_final

from trytond.model.exceptions import AccessError
from trytond.pool import Pool
from trytond.transaction import Transaction, check_access

LOGS = [
    'gnuhealth.orthanc.access_log', 'gnuhealth.orthanc.link_log',
    'gnuhealth.orthanc.sync_run', 'gnuhealth.orthanc.link_event',
    'gnuhealth.imaging.critical_finding',
    'gnuhealth.imaging.critical_finding.call',
    'gnuhealth.imaging.test.result.sign_check',
    'gnuhealth.imaging.test.request.reschedule.log',
    'gnuhealth.imaging.safety.finding']
SERVER = 'gnuhealth.orthanc.config'
STUDY = 'gnuhealth.imaging_orthanc.study'
REQUEST = 'gnuhealth.imaging.test.request'
RESULT = 'gnuhealth.imaging.test.result'


@pytest.fixture(scope='module')
def administrator(activated):
    commit(lambda: make_user_of_all('administrator'))
    return Rpc('administrator')


def line(model):
    return commit(lambda: make(model).id)


def row(model, id_):
    "Return all that is stored of a line, None when it is gone."
    def read():
        Model = Pool().get(model)
        names = [n for n, f in Model._fields.items() if not hasattr(
                f, 'getter')]
        found = Model.search([('id', '=', id_)])
        return found and Model.read([id_], names)[0]
    return commit(read)


@pytest.mark.parametrize('model', LOGS)
@pytest.mark.parametrize('method, arguments', [
        ('write', lambda id_: ([id_], {'create_uid': None})),
        ('delete', lambda id_: ([id_],)),
        ('copy', lambda id_: ([id_],)),
        ('create', lambda id_: ([{}],)),
        ('import_data', lambda id_: (['id', 'create_uid'], [[str(id_), '']])),
        ])
def test_over_rpc(administrator, model, method, arguments):
    id_ = line(model)
    before = row(model, id_)
    with pytest.raises(RpcError):
        administrator(f'model.{model}.{method}', *arguments(id_))
    assert row(model, id_) == before


@pytest.mark.parametrize('model', LOGS)
def test_in_the_model(administrator, model):
    "What has no RPC may be reached by another module's."
    id_ = line(model)

    def attack(act):
        with Transaction().set_user(administrator.user), check_access():
            Model = Pool().get(model)
            with pytest.raises(AccessError, match="GNU Health writes them"):
                act(Model, [Model(id_)])
    for act in [
            lambda Model, lines: Model.write(lines, {'create_uid': None}),
            lambda Model, lines: Model.delete(lines),
            lambda Model, lines: Model.copy(lines),
            lambda Model, lines: Model.create([{}]),
            ]:
        commit(lambda: attack(act))
    assert row(model, id_)


@pytest.mark.parametrize('parent, door, model', [
        (STUDY, 'link_log', 'gnuhealth.orthanc.link_log'),
        (RESULT, 'critical_findings', 'gnuhealth.imaging.critical_finding'),
        (REQUEST, 'reschedules',
            'gnuhealth.imaging.test.request.reschedule.log'),
        (RESULT, 'signed_anyway', 'gnuhealth.imaging.test.result.sign_check'),
        ])
@pytest.mark.parametrize('order', ['delete', 'remove', 'write'])
def test_through_the_record_they_are_of(
        administrator, parent, door, model, order):
    id_ = line(model)
    before = row(model, id_)
    through = commit(lambda: make(parent).id)
    orders = [(order, [id_], *([{'create_uid': None}] * (order == 'write')))]
    try:
        administrator(f'model.{parent}.write', [through], {door: orders})
    except RpcError as error:
        assert error.kind == 'UserError'
    assert row(model, id_) == before


def test_a_deleted_server_takes_its_runs_along(administrator):
    "What follows from what is allowed goes on."
    def arrange():
        Run = Pool().get('gnuhealth.orthanc.sync_run')
        server = make(SERVER)
        run = make(Run.__name__)
        Run.write([run], {'server': server.id})
        return server.id, run.id
    server, run = commit(arrange)
    administrator(f'model.{SERVER}.remove_config_server', [server])
    assert not row('gnuhealth.orthanc.sync_run', run)


@pytest.fixture
def signed(administrator):
    "The ids of a signed result and of its picture."
    def arrange():
        User = Pool().get('res.user')
        result = make_final(User(administrator.user))
        return result.id
    return commit(arrange)


@pytest.mark.parametrize('values', [
        {'signed_by': None}, {'signed_at': None}, {'state': 'draft'},
        {'revision': 7}, {'amend_reason': "x"}, {'comment': "Another text"},
        ], ids=str)
def test_rewrite_a_signature(administrator, signed, values):
    before = row(RESULT, signed)
    with pytest.raises(RpcError, match='UserError'):
        administrator(f'model.{RESULT}.write', [signed], values)
    assert row(RESULT, signed) == before


def test_delete_what_was_signed(administrator, signed):
    with pytest.raises(RpcError, match='UserError'):
        administrator(f'model.{RESULT}.delete', [signed])
    with pytest.raises(RpcError, match='UserError'):
        request = row(RESULT, signed)['request']
        administrator(
            'model.gnuhealth.imaging.test.request.delete', [request])
    assert row(RESULT, signed)['signed_by']


def test_delete_a_former_report(administrator):
    def arrange():
        Attachment = Pool().get('ir.attachment')
        kept = make_attachment(make(RESULT))
        table = Attachment.__table__()
        Transaction().connection.cursor().execute(*table.update(
                [table.imaging_revision], [0], where=table.id == kept.id))
        return kept.id
    kept = commit(arrange)
    for call in [
            ('delete', [kept]), ('write', [kept], {'name': "x"}),
            ('write', [kept], {'imaging_revision': None}),
            ('write', [kept], {'resource': None})]:
        with pytest.raises(RpcError, match='UserError'):
            administrator(f'model.ir.attachment.{call[0]}', *call[1:])
