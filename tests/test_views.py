# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every view can be shown by the clients: they stop with an error at a widget
that they do not know."""
from lxml import etree
from sources import MODULES

from trytond.pool import Pool

# The widgets that Tryton's web client and its desktop client have both.
IN_LISTS = {
    'binary', 'boolean', 'callto', 'char', 'date', 'dict', 'email', 'float',
    'image', 'integer', 'many2many', 'many2one', 'multiselection', 'numeric',
    'one2many', 'one2one', 'progressbar', 'reference', 'selection', 'sip',
    'text', 'time', 'timedelta', 'url'}
IN_FORMS = {
    'binary', 'boolean', 'callto', 'char', 'color', 'date', 'datetime',
    'dict', 'document', 'email', 'float', 'html', 'image', 'integer',
    'many2many', 'many2one', 'multiselection', 'numeric', 'one2many',
    'one2one', 'password', 'progressbar', 'pyson', 'reference', 'richtext',
    'selection', 'sip', 'text', 'time', 'timedelta', 'timestamp', 'url'}


def unknown_widgets(view):
    "Return the fields of a view whose widget the clients do not have."
    Model = Pool().get(view.model)
    form = Model.fields_view_get(view_id=view.id)
    known = IN_LISTS if form['type'] == 'tree' else IN_FORMS
    return [
        f"{view.rec_name} {node.get('name')}: {widget}"
        for node in etree.fromstring(form['arch'].encode()).iter('field')
        for widget in [
            node.get('widget') or form['fields'][node.get('name')]['type']]
        if widget not in known]


def test_clients_know_all_widgets(transaction):
    View = Pool().get('ir.ui.view')
    views = View.search([
            ('module', 'in', MODULES),
            ('inherit', '=', None),
            ('model', '!=', None),
            ])
    assert len(views) > 10
    problems = [
        problem for view in views for problem in unknown_widgets(view)]
    assert not problems, '\n'.join(problems)
