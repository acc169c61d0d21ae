# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Says which statements PostgreSQL answers by reading whole tables.

A test database is small, and to read a small table is cheaper than its index:
so PostgreSQL is told to avoid it, and joins for which tables are read as a
whole, and does it only where no index serves.
"""
from trytond.transaction import Transaction

_READS = {'Seq Scan', 'Index Scan', 'Index Only Scan', 'Bitmap Index Scan'}
_AVOIDED = ['seqscan', 'hashjoin', 'mergejoin']
_EXPLAINED = ('SELECT', 'WITH', 'UPDATE', 'DELETE', 'INSERT')


def unserved(statements, tables):
    """Return what is to be read in whole tables because no index serves.

    :param statements: recorded by statements.counted
    :param tables: names of the tables that are large
    :return: list of pairs of a statement and the nodes of its plan that read
        a whole table or a whole index, as dicts
    """
    cursor = Transaction().connection.cursor()
    cursor.execute("SELECT indexrelid::regclass::text FROM pg_index "
        "WHERE indpred IS NOT NULL")
    partial = {name.strip('"') for name, in cursor.fetchall()}
    cursor.execute("SELECT relname, reltuples FROM pg_class "
        "WHERE relname = ANY(%s)", [list(tables)])
    sizes = dict(cursor.fetchall())
    for name in _AVOIDED:
        cursor.execute(f'SET LOCAL enable_{name} = off')
    found, seen = [], set()
    for statement in statements:
        text = str(statement)
        if text in seen or not text.lstrip(' (').startswith(_EXPLAINED):
            continue
        seen.add(text)
        cursor.execute('EXPLAIN (FORMAT JSON) ' + text,
            statement.params)
        (plan,), = cursor.fetchone()
        whole = list(_whole(plan['Plan'], sizes, partial))
        if whole:
            found.append((statement, whole))
    for name in _AVOIDED:
        cursor.execute(f'SET LOCAL enable_{name} = on')
    return found


def _whole(node, sizes, partial, limited=False, table=None):
    """Yield the nodes that read a whole table.

    Where only the first rows count, not much is read until they are found,
    unless they are rare.

    :param dict sizes: numbers of rows by name of table
    :param partial: names of indexes of some rows only
    :param limited: whether only the first rows of the node count
    :param table: what a bitmap of an index is for
    """
    kind = node['Node Type']
    table = node.get('Relation Name', table)
    if (kind in _READS and table in sizes and 'Index Cond' not in node
            and node.get('Index Name') not in partial
            and not (limited and 10 * node['Plan Rows'] > sizes[table])):
        yield node
    limited = kind == 'Limit' or limited and kind not in {
        'Sort', 'Aggregate', 'Hash', 'Hash Join', 'Unique', 'WindowAgg'}
    for part in node.get('Plans', []):
        asked = part['Parent Relationship'] in {'SubPlan', 'InitPlan'}
        yield from _whole(
            part, sizes, partial, limited and not asked, table)
