# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Opens views in Tryton's desktop client and tells what goes wrong.

It is run with the Python of the system, which has GTK, on a display:
``python3 client.py JOB.json`` with the address, the user, and the views.  It
prints a line of JSON for each view: its name and its problems.
"""
import json
import os
import sys
import traceback

import gi

for name, version in [
        ('Gtk', '3.0'), ('Gdk', '3.0'), ('GooCanvas', '2.0')]:
    gi.require_version(name, version)

from gi.repository import Gtk  # noqa: E402
from tryton import common, rpc  # noqa: E402
from tryton.config import CONFIG  # noqa: E402
from tryton.gui.window.view_board import ViewBoard  # noqa: E402
from tryton.gui.window.view_form.screen import Screen  # noqa: E402

problems = []


def note_error(title, details):
    "Stand for the dialog that would wait for a click."
    problems.append(f'{title}\n{details}')


def note_message(message, *others, **options):
    "Stand for a message or a warning."
    problems.append(str(message))


def note_exception(type_, value, trace):
    "Note what GTK's callbacks raise."
    problems.append(''.join(traceback.format_exception(type_, value, trace)))


def listen():
    "Put the notes in place of the dialogs."
    sys.excepthook = note_exception
    for module in [common, common.common]:
        module.error = note_error
        module.warning = module.message = note_message


def log_in(job):
    "Start a session."
    CONFIG['thread'] = False
    CONFIG['login.host'] = f"{job['host']}:{job['port']}"
    CONFIG['login.db'] = job['database']
    CONFIG['login.login'] = job['login']
    rpc.login({'password': os.environ['TRYTON_PASSWORD']})
    common.RPCContextReload()
    common.IconFactory.load_icons()
    common.MODELACCESS.load_models()
    common.MODELHISTORY.load_history()
    common.MODELNOTIFICATION.load_names()
    common.VIEW_SEARCH.load_searches()


def pump():
    "Let GTK draw until nothing is left to do."
    while Gtk.events_pending():
        Gtk.main_iteration()


def show(widget):
    "Show a widget in a window as large as a common laptop's screen."
    window = Gtk.Window()
    window.set_default_size(1366, 768)
    window.add(widget)
    window.show_all()
    pump()
    return window


def open_view(view):
    "Open a view on a record or on a list of them."
    screen = Screen(view['model'], view_ids=[view['id']],
        mode=[view['type']], limit=20)
    window = show(screen.widget)
    if view['ids'] is None:
        screen.new(default=False)
    elif view['type'] == 'form':
        screen.load(view['ids'][:1])
    else:
        screen.load(view['ids'])
    screen.display()
    pump()
    assert screen.current_view.view_type == view['type']
    window.destroy()
    pump()


def open_board(view):
    "Open a dashboard and count its parts."
    from xml.dom import minidom
    arch = rpc.execute(
        'model', 'ir.ui.view', 'view_get', view['id'], rpc.CONTEXT)['arch']
    root, = minidom.parseString(arch).childNodes
    board = ViewBoard(root, context={})
    window = show(board.widget_get())
    board.reload()
    pump()
    assert len(board.actions) == view['parts'], len(board.actions)
    window.destroy()
    pump()


def main(path):
    "Open all views of a job."
    with open(path, encoding='utf-8') as file:
        job = json.load(file)
    listen()
    log_in(job)
    for view in job['views']:
        problems.clear()
        try:
            if view['type'] == 'board':
                open_board(view)
            else:
                open_view(view)
        except Exception:
            note_exception(*sys.exc_info())
        print(json.dumps([view['name'], problems]), flush=True)
    # The client keeps a connection open for messages of the server.
    os._exit(0)


if __name__ == '__main__':
    main(sys.argv[1])
