# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The catalogue: modality codes, exams, and that codes are unique."""
import pytest
from support.records import make_exam, make_user

from trytond.model.exceptions import (
    RequiredValidationError, SQLConstraintError)
from trytond.modules.health_imaging.catalog import modality_codes
from trytond.modules.health_imaging.exceptions import InvalidModalityWarning
from trytond.pool import Pool
from trytond.transaction import Transaction


def types():
    return Pool().get('gnuhealth.imaging.test.type')


def exams():
    return Pool().get('gnuhealth.imaging.test')


def test_modality_codes():
    codes = modality_codes()
    assert codes == sorted(set(codes))
    assert {'CT', 'MR', 'US', 'CR', 'DX', 'XA', 'RF', 'MG', 'PT'} <= set(codes)
    # Retired, invented, and of groups that are no acquisition.
    assert not {'XR', 'DM', 'SR', ''} & set(codes)
    assert all(code.isalnum() and len(code) <= 16 for code in codes)


def test_shipped_types_are_modalities(transaction):
    shipped = types().search([])
    assert {t.code for t in shipped} <= set(modality_codes())
    assert {'CR', 'DX', 'XA', 'RF', 'MG', 'CT', 'MR', 'US', 'PT'} <= {
        t.code for t in shipped}
    types().validate_fields(shipped, None)


@pytest.mark.parametrize('code', ['XR', 'ct', 'C T', 'X-RAY'])
@pytest.mark.parametrize('when', ['create', 'write'])
def test_wrong_modality_is_refused_with_a_way_out(transaction, code, when):
    type_, = types().create([{'code': 'CT', 'name': "Other"}])

    def change():
        if when == 'create':
            types().create([{'code': code, 'name': "Local"}])
        else:
            types().write([type_], {'code': code})
    with pytest.raises(InvalidModalityWarning) as error:
        change()
    assert f'"{code}"' in error.value.message
    for valid in modality_codes():
        assert valid in error.value.message
    Warning = Pool().get('res.user.warning')
    Warning.create([{
                'user': Transaction().user, 'name': error.value.name,
                'always': False}])
    change()
    assert types().search([('code', '=', code)])


def test_warning_of_one_code_is_not_that_of_another(transaction):
    """New records get a new id at each try, so the code is what counts."""
    names = []
    for code in ['XR', 'XR', 'YY']:
        with pytest.raises(InvalidModalityWarning) as error:
            types().create([{'code': code, 'name': "Local"}])
        names.append(error.value.name)
    assert names[0] == names[1] != names[2]


def test_local_codes_are_warned_of_when_they_change_only(transaction):
    table = types().__table__()
    type_, = types().create([{'code': 'CT', 'name': "Other"}])
    Transaction().connection.cursor().execute(*table.update(
            [table.code], ['XR'], where=table.id == type_.id))
    types().write([types()(type_.id)], {'name': "X-ray"})


def test_type_is_found_by_code_and_name(transaction):
    for text, code in [('MR', 'MR'), ('magnetic', 'MR'), ('mammo', 'MG')]:
        found = types().search([('rec_name', 'ilike', f'%{text}%')])
        assert [t.code for t in found] == [code]
    assert found[0].rec_name == "Mammography (MG)"


@pytest.mark.parametrize('how', ['create', 'write', 'activate', 'together'])
def test_codes_of_active_exams_are_unique(transaction, how):
    make_exam(code='HEAD')
    other = make_exam(code='HEAD', active=False)
    third = make_exam()
    with pytest.raises(SQLConstraintError) as error:
        if how == 'create':
            make_exam(code='HEAD')
        elif how == 'write':
            exams().write([third], {'code': 'HEAD'})
        elif how == 'activate':
            exams().write([other], {'active': True})
        else:
            exams().write([third, other], {'active': True, 'code': 'NEW'})
    assert "same code" in error.value.message


def test_codes_of_inactive_exams_may_repeat(transaction):
    make_exam(code='HEAD')
    make_exam(code='HEAD', active=False)
    make_exam(code='HEAD', active=False)


def test_code_of_an_inactive_exam_can_be_used_again(transaction):
    first = make_exam(code='HEAD')
    exams().write([first], {'active': False})
    make_exam(code='HEAD')


@pytest.mark.postgresql
def test_database_keeps_codes_unique(transaction):
    """Two users at once get past what Python sees."""
    make_exam(code='HEAD')
    second = make_exam(code='OTHER')
    table = exams().__table__()
    from psycopg2.errors import ExclusionViolation
    with pytest.raises(ExclusionViolation):
        Transaction().connection.cursor().execute(*table.update(
                [table.code], ['HEAD'], where=table.id == second.id))


def test_copies_have_codes_of_their_own(transaction):
    exam = make_exam("Head CT", 'HEAD')
    first, = exams().copy([exam])
    second, = exams().copy([exam])
    assert [first.code, second.code] == ['HEAD-2', 'HEAD-3']
    assert first.name == exam.name and first.product == exam.product
    named, = exams().copy([exam], default={'code': 'OWN'})
    assert named.code == 'OWN'


@pytest.mark.parametrize('name', ['name', 'code', 'test_type', 'product'])
def test_exam_needs(transaction, name):
    with pytest.raises(RequiredValidationError):
        make_exam(**{'code': 'X', name: None} if name != 'code'
            else {'type_': 'mri', 'code': ' '})


def test_exam_is_found_by_code_and_name(transaction):
    exam = make_exam("Head CT", 'HCT4')
    make_exam("Knee MR")
    for text in ['hct4', 'Head', 'HCT4 ct']:
        assert exams().search([('rec_name', 'ilike', f'%{text}%')]) == [exam]
    assert exam.rec_name == "Head CT"


def test_shipped_records_can_be_changed_and_stay_so(transaction):
    """They are examples: an update does not bring them back."""
    data = Pool().get('ir.model.data').search([
            ('module', '=', 'health_imaging'),
            ('model', 'in', [
                    'gnuhealth.imaging.test.type', 'product.product',
                    'product.template', 'ir.sequence', 'res.user']),
            ])
    assert len(data) > 15
    assert all(d.noupdate for d in data)


def test_demonstration_user_is_inactive(transaction):
    User = Pool().get('res.user')
    user = User(Pool().get('ir.model.data').get_id(
            'health_imaging', 'user_demo_imaging'))
    assert not user.active
    assert make_user('other').active
