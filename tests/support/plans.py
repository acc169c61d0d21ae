# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Says which statements PostgreSQL answers by reading whole tables.

A test database is small, and to read a small table is cheaper than its index:
so PostgreSQL is told to avoid it, and does it only where no index serves.
"""
from trytond.transaction import Transaction

_READS = {'Seq Scan', 'Index Scan', 'Index Only Scan', 'Bitmap Index Scan'}
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
    cursor.execute('SET LOCAL enable_seqscan = off')
    found, seen = [], set()
    for statement in statements:
        text = str(statement)
        if text in seen or not text.lstrip(' (').startswith(_EXPLAINED):
            continue
        seen.add(text)
        cursor.execute('EXPLAIN (FORMAT JSON) ' + text,
            statement.params)
        (plan,), = cursor.fetchone()
        whole = list(_whole(plan['Plan'], frozenset(tables), partial))
        if whole:
            found.append((statement, whole))
    cursor.execute('SET LOCAL enable_seqscan = on')
    return found


def _whole(node, tables, partial, limited=False, table=None):
    """Yield the nodes that read a whole table.

    A whole index is read in order where only the first rows count.

    :param limited: whether only the first rows of the node count
    :param table: what a bitmap of an index is for
    """
    kind = node['Node Type']
    table = node.get('Relation Name', table)
    if kind in _READS and table in tables and (
            kind == 'Seq Scan' or 'Index Cond' not in node
            and node['Index Name'] not in partial and not limited):
        yield node
    limited = kind == 'Limit' or limited and kind not in {
        'Sort', 'Aggregate', 'Hash', 'Hash Join', 'Unique', 'WindowAgg'}
    for part in node.get('Plans', []):
        asked = part['Parent Relationship'] in {'SubPlan', 'InitPlan'}
        yield from _whole(
            part, tables, partial, limited and not asked, table)
