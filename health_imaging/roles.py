# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who reports after the upgrade that brings the group for it.

Before, whoever was in Health Imaging wrote and signed results.
"""
import logging

from sql import Null

from trytond.pool import Pool
from trytond.transaction import Transaction

from .tables import execute

_MODULE = 'health_imaging'
_IMAGING = 'group_health_imaging'
_REPORTING = 'group_health_imaging_reporting'
_NAME = "Health Imaging Reporting"

logger = logging.getLogger(__name__)


def bring_reporting(Result, module):
    """Make the group Health Imaging Reporting in an upgraded database, and
    put those into it who may have reported so far.

    It is done once: whoever is taken out of the group later stays out.
    """
    imaging = _group(_IMAGING)
    if module != _MODULE or not imaging or _group(_REPORTING):
        return
    users = _reporters(Result, imaging)
    if not users:
        return
    pool = Pool()
    UserGroup = pool.get('res.user-res.group')
    group = _make_group()
    UserGroup.create([{'user': u, 'group': group} for u in sorted(users)])
    user = pool.get('res.user').__table__()
    logins = execute(user.select(user.login,
            where=user.id.in_(sorted(users)), order_by=user.login))
    logger.warning("res.group %s: in %s are now the users %s", group, _NAME,
        ', '.join(login for login, in logins))


def _group(fs_id):
    "Return the id of a group of the module, None when it is not there."
    data = Pool().get('ir.model.data').__table__()
    rows = execute(data.select(data.db_id,
            where=(data.module == _MODULE) & (data.fs_id == fs_id)))
    return rows[0][0] if rows else None


def _reporters(Result, imaging):
    """Return the users who are professionals, and members or signers."""
    pool = Pool()
    party = pool.get('party.party').__table__()
    professional = pool.get('gnuhealth.healthprofessional').__table__()
    member = pool.get('res.user-res.group').user_group_all_table()
    result = Result.__table__()
    members = {user for user, in execute(
            member.select(member.user, where=member.group == imaging))}
    signers = {id_ for id_, in execute(
            result.select(result.signed_by, group_by=result.signed_by))}
    professionals = execute(party.join(professional,
            condition=professional.party == party.id).select(
            party.internal_user, professional.id,
            where=party.internal_user != Null))
    return {
        user for user, id_ in professionals
        if user in members or id_ in signers}


def _make_group():
    """Make the group as its file will find it, and return its id."""
    pool = Pool()
    Group = pool.get('res.group')
    ModelData = pool.get('ir.model.data')
    values = {'name': _NAME}
    with Transaction().set_context(module=_MODULE, language='en'):
        group, = Group.create([values])
    ModelData.create([{
                'fs_id': _REPORTING, 'module': _MODULE,
                'model': Group.__name__, 'db_id': group.id,
                'values': ModelData.dump_values(values),
                'fs_values': ModelData.dump_values(values),
                'noupdate': False,
                }])
    return group.id
