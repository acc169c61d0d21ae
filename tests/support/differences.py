# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What differs in a database after an upgrade, of what hospitals make."""

# Tables of the framework whose rows hospitals make.
OF_HOSPITALS = {
    'ir_attachment', 'ir_cron', 'ir_note', 'ir_sequence', 'ir_sequence_type',
    'ir_module'}
# Rows of the framework in tables of other names.
OF_FRAMEWORK = ('cron_', 'ir_', 'res_')
# What a module ships may get another text.
SHIPPED = {'gnuhealth_command'}


def differences(before, after):
    """Yield table, id and column of what differs, None for a row that went.

    :param before: what support.releases.snapshot returned
    :param after: the same, later
    """
    for table, rows in before.items():
        if (table in SHIPPED
                or table.startswith('ir_') and table not in OF_HOSPITALS):
            continue
        for id_, row in rows.items():
            now = after.get(table, {}).get(id_)
            if now is None:
                yield table, id_, None
                continue
            yield from (
                (table, id_, name) for name, value in row.items()
                if name not in now or now[name] != value)


def filled_columns(before, after):
    """Return what new columns say of rows that were there: dicts of values by
    id, by table and column.

    No value, zero and false say nothing.

    :param before: what support.releases.snapshot returned
    :param after: the same, later
    """
    filled = {}
    for table, rows in before.items():
        if table.startswith('ir_') and table not in OF_HOSPITALS:
            continue
        known = {name for row in rows.values() for name in row}
        for id_, row in rows.items():
            for name, value in after[table][id_].items():
                if name not in known and value not in (None, 0, False):
                    filled.setdefault((table, name), {})[id_] = value
    return filled


def added_rows(before, after):
    """Return how many rows there are more, by table of what hospitals make.

    :param before: what support.releases.snapshot returned
    :param after: the same, later
    """
    return {
        table: len(rows.keys() - before.get(table, {}).keys())
        for table, rows in after.items()
        if (table in OF_HOSPITALS - {'ir_cron', 'ir_module'}
            or not table.startswith(OF_FRAMEWORK))
        and rows.keys() - before.get(table, {}).keys()}
