# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes rows of more fake PACS of those of one that was synchronized, with a
few statements: what a run finds there is what it would have stored itself.
PostgreSQL only."""
from trytond.pool import Pool
from trytond.transaction import Transaction

PREFIX = 'gnuhealth_imaging_orthanc_'
LEVELS = [
    # Table, its parent column, and the table of the parent
    ('gnuhealth_orthanc_patient', 'server', None),
    (f'{PREFIX}study', 'orthanc_server', None),
    (f'{PREFIX}study_series', 'study', f'{PREFIX}study'),
    (f'{PREFIX}series_instances', 'series', f'{PREFIX}study_series'),
    ]


def copy_rows(source, target, seed):
    """Copy all that is known of a server with the seed 1 to another one, as
    if it were that of a fake PACS with another seed, and commit.

    :param int source: id of the server
    :param int target: id of a server of which nothing is known
    :param int seed: of the other PACS
    """
    cursor = Transaction().connection.cursor()
    for table, parent, upper in LEVELS:
        names = _columns(cursor, table)
        values = {name: _value(name, seed) for name in names}
        values[parent], rest = str(int(target)), ''
        where = f'old.{parent} = {int(source)}'
        if upper:
            values[parent] = 'new_parent.id'
            rest = (
                f' JOIN {upper} AS old_parent ON old_parent.id = old.{parent}'
                f' JOIN {upper} AS new_parent ON new_parent."orthanc_UID" = '
                + _value('orthanc_UID', seed, 'old_parent'))
            where = _of_server('old_parent', upper, source)
        elif 'orthanc_patient' in values:
            values['orthanc_patient'] = (
                '(SELECT p.id FROM gnuhealth_orthanc_patient AS p WHERE '
                f'p.server = {int(target)} AND p.uuid = (SELECT '
                + _value('uuid', seed, 'q')
                + ' FROM gnuhealth_orthanc_patient AS q'
                ' WHERE q.id = old.orthanc_patient))')
        cursor.execute(
            f'INSERT INTO {table} ({", ".join(map(_quoted, names))}) '
            f'SELECT {", ".join(values[n] for n in names)} '
            f'FROM {table} AS old{rest} WHERE {where}')
    _copy_state(source, target)
    Transaction().commit()


def _of_server(alias, table, server):
    if table.endswith('study'):
        return f'{alias}.orthanc_server = {int(server)}'
    return (f'{alias}.study IN (SELECT id FROM {PREFIX}study '
        f'WHERE orthanc_server = {int(server)})')


def _columns(cursor, table):
    cursor.execute(
        'SELECT column_name FROM information_schema.columns '
        "WHERE table_name = %s AND column_name <> 'id'", [table])
    return [name for name, in cursor.fetchall()]


def _value(name, seed, alias='old'):
    "Return how a column is copied: the seed stands in ids and numbers."
    column = f'{alias}.{_quoted(name)}'
    if name in {'orthanc_UID', 'uuid'}:
        return (f"substr({column}, 1, 9) || '{seed:08x}' || "
            f"substr({column}, 18)")
    if name.endswith('_UID'):
        return f"replace({column}, '2.999.20.1.', '2.999.20.{seed}.')"
    prefix = {
        'accession_number': 'ACC', 'patient_id': 'FAKE', 'ident': 'FAKE',
        }.get(name)
    if prefix:
        return f"replace({column}, '{prefix}0001', '{prefix}{seed:04d}')"
    return column


def _quoted(name):
    return f'"{name}"'


def _copy_state(source, target):
    "Let a server have been read as far as another one."
    table = Pool().get('gnuhealth.orthanc.config').__table__()
    names = [
        'last_changed_index', 'sync_time', 'compared', 'version', 'validated',
        'answer']
    cursor = Transaction().connection.cursor()
    cursor.execute(*table.select(
            *(getattr(table, name) for name in names),
            where=table.id == source))
    cursor.execute(*table.update(
            [getattr(table, name) for name in names], list(cursor.fetchone()),
            where=table.id == target))
