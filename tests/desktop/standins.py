# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Stand-ins for what would wait for a user of the desktop client: they note
what it says, and answer as a user who agrees."""
import logging
import os

from gi.repository import Gtk
from tryton import action, common
from tryton.gui import Main
from widgets import widget_of

problems = []
questions = []
opened = []


def answer(self, *args, parent=None, **options):
    "Note what a dialog says, and answer it as a user who agrees."
    if isinstance(self, common.common.AskDialog):
        return os.environ['TRYTON_PASSWORD']
    dialog = self.build_dialog(parent or Main().window, *args, **options)
    text = '\n'.join(filter(None, [
                dialog.props.text, dialog.props.secondary_text]))
    dialog.destroy()
    if isinstance(self, common.common.ConfirmationDialog):
        questions.append(text)
        return Gtk.ResponseType.YES
    if isinstance(self, common.common.UserWarningDialog):
        questions.append(text)
        return 'ok'
    problems.append(text)


class Notes(logging.Handler):
    "What the client only logs is a problem too."

    def emit(self, record):
        problems.append(self.format(record))


def front_window(self):
    "Without a window manager no window has the focus."
    dialogs = (self.get_page() or self).dialogs
    return widget_of(dialogs[-1]) if dialogs else self.window


def listen():
    "Put the stand-ins in place."
    Main.get_active_window = front_window
    common.common.UniqueDialog.__call__ = answer
    action.main.file_open = lambda name, *args, **kwargs: opened.append(name)
    action.main.webbrowser.open = lambda url, new=0: opened.append(url)
    logging.getLogger().addHandler(Notes(logging.ERROR))
    Gtk.Settings.get_default().set_property('gtk-enable-animations', False)
