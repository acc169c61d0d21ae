# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Many studies as people linked them before 5.0, beside the studies of today
that nobody linked yet."""
from trytond.config import config
from trytond.pool import Pool
from trytond.transaction import Transaction

PASSWORD = 'carried-over'
ADDRESS = 'http://former.example:8042'


def make_former_studies(copy, size):
    """Make them in a copy of a database that has patients.

    The administrator gets a password, too.
    """
    path = config.get('database', 'path')
    config.set('database', 'path', str(copy.path))
    try:
        if copy.name not in Pool.database_list():
            Pool(copy.name).init()
        with Transaction().start(copy.name, 1) as transaction:
            _make(size)
            transaction.tasks.clear()
            transaction.commit()
    finally:
        config.set('database', 'path', path)


def _make(size):
    pool = Pool()
    User = pool.get('res.user')
    User.write([User(1)], {'password': PASSWORD})
    server, = pool.get('gnuhealth.orthanc.config').create([{
                'label': "Former", 'domain': ADDRESS, 'user': 'orthanc',
                'password': 'unused'}])
    pool.get('gnuhealth.orthanc.sync_run').create([{
                'server': server.id, 'full': True, 'state': 'done'}])
    patients = pool.get('gnuhealth.patient').search([], limit=8)
    persons = pool.get('gnuhealth.orthanc.patient').create([{
                'server': server.id, 'uuid': f'person-{i}',
                'ident': f'F{i}', 'patient': patients[i % len(patients)].id}
            for i in range(size)])
    pool.get('gnuhealth.orthanc.study').create([{
                'server': server.id, 'uuid': f'study-{i}',
                'patient': person.id} for i, person in enumerate(persons)])
    Study = pool.get('gnuhealth.imaging_orthanc.study')
    studies = Study.create([{
                'orthanc_server': server.id, 'orthanc_UID': f'study-{i}',
                'study_instance_UID': f'1.9.{i}'} for i in range(size)])
    # As a synchronisation leaves what no rule can link.
    table = Study.__table__()
    cursor = Transaction().connection.cursor()
    cursor.execute(*table.update(
            [table.link_rule, table.link_state], [None, 'unlinked'],
            where=(table.id >= studies[0].id)))
