# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Times are read to the minute and stored to the second."""
import datetime as dt
import xml.etree.ElementTree as ET

from support.records import make_final, make_hospital, make_requested, user

from trytond.pool import Pool
from trytond.transaction import Transaction

REQUEST = 'gnuhealth.imaging.test.request'
#: What happens within a minute, and when somebody did what to data.
SECONDS = {
    'gnuhealth.orthanc.sync_run': {'start', 'end'},
    }


def shown():
    "Return the fields with a time in the views of the modules."
    ActionView = Pool().get('ir.ui.view')
    found = set()
    for view in ActionView.search([
                ('module', 'like', 'health_%'),
                ('type', 'in', ['tree', 'form'])]):
        if not view.model or not view.model.startswith((
                    'gnuhealth.imaging', 'gnuhealth.orthanc')):
            continue
        Model = Pool().get(view.model)
        view_ = Model.fields_view_get(view.id)
        # Others are read along.
        names = {n.get('name') for n in ET.fromstring(view_['arch']).iter()}
        found.update(
            (view.model, name) for name, field in view_['fields'].items()
            if name in names and field['type'] in {'datetime', 'timestamp'})
    return found


def test_no_screen_shows_seconds(transaction):
    found = {
        (model, name) for model, name in shown()
        if Pool().get(model)._fields[name].format != '%H:%M'}
    assert found == {
        (model, name) for model, names in SECONDS.items() for name in names}


def test_nothing_shown_has_seconds_that_a_client_would_take_away(transaction):
    "A client takes what it shows for a change."
    make_hospital()
    at = dt.datetime(2026, 5, 4, 2, 30, 59)
    request = make_requested(date=at)
    assert request.date == at.replace(second=0)
    table = type(request).__table__()
    cursor = Transaction().connection.cursor()
    cursor.execute(*table.select(table.date, where=table.id == request.id))
    assert str(cursor.fetchone()[0]) == str(at)
    row, = type(request).read([request.id], ['date', 'time'])
    assert row['date'] == row['time'] == at.replace(second=0)
    assert type(request).search([('date', '=', at)]) == [request]
    # What a client sends back is no change of a request that was sent.
    type(request).write([request], {'date': row['date'], 'comment': "x"})
    result = make_final(user('radiologist'))
    assert result.signed_minute == result.signed_at.replace(second=0)
