# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is to be seen in the windows of the desktop client, and clicks that
GTK has no function for."""
import time

from gi.repository import Gdk, Gtk
from tryton.gui import Main

#: How long a picture may take to be drawn, in seconds.
PATIENCE = 10


def settle():
    "Let GTK work until nothing is left to do."
    while Gtk.events_pending():
        Gtk.main_iteration()


def children(widget):
    "Return all widgets below a widget, and itself, that are to be seen."
    found = [widget] if widget.get_mapped() else []
    if isinstance(widget, Gtk.Container):
        for child in widget.get_children():
            found.extend(children(child))
    return found


def of_class(widget, *classes):
    "Return the widgets of some classes below a widget."
    return [w for w in children(widget) if isinstance(w, classes)]


def words(widget):
    "Return what a label or a button says, without the mark of its key."
    text = widget.get_label() or ''
    if widget.get_use_underline():
        text = text.replace('__', '\0').replace('_', '').replace('\0', '_')
    return text


def tab_words(widget):
    "Return what the tab of a notebook says."
    return ' '.join(words(label) for label in of_class(widget, Gtk.Label))


def texts(widget):
    "Return all that is to be read below a widget."
    found = []
    for child in children(widget):
        if isinstance(child, Gtk.TreeView):
            found.extend(' '.join(row) for _, row in rows(child))
        else:
            found.append(read(child))
    return [text for text in found if text]


def read(widget):
    "Return the text of one widget."
    if isinstance(widget, (Gtk.Label, Gtk.Button)):
        return words(widget)
    if isinstance(widget, Gtk.Entry):
        return widget.get_text()
    if isinstance(widget, Gtk.TextView):
        buffer = widget.get_buffer()
        return buffer.get_text(*buffer.get_bounds(), False)


def rows(tree):
    "Return the paths and the texts of the lines of a list."
    model = tree.get_model()
    found = []
    iter_ = model.get_iter_first() if model else None
    while iter_:
        row = []
        for column in tree.get_columns():
            if column.get_visible():
                row.extend(cells(column, model, iter_))
        found.append((model.get_path(iter_), row))
        iter_ = model.iter_next(iter_)
    return found


def cells(column, model, iter_):
    "Return the texts that a column shows in one line."
    column.cell_set_cell_data(model, iter_, False, False)
    found = []
    for cell in column.get_cells():
        if cell.get_property('visible') and cell.find_property('text'):
            found.append(cell.get_property('text') or '')
    return found


def place():
    "Return what is in front: a dialog, or the page of the notebook."
    page = Main().get_page()
    dialogs = (page or Main()).dialogs
    return dialogs[-1] if dialogs else page


def widget_of(front):
    "Return the GTK widget of what is in front."
    for name in ['dia', 'win', 'widget']:
        if getattr(front, name, None):
            return getattr(front, name)


def activate(tree, path):
    "Click twice on a line."
    tree.set_cursor(path)
    with_click(tree.row_activated, path, tree.get_columns()[0])


def with_click(function, *arguments):
    "Call a function that looks for the click by which it was called."
    current, event = Gtk.get_current_event, Gdk.Event.new(
        Gdk.EventType.BUTTON_PRESS)
    Gtk.get_current_event = lambda: event
    try:
        function(*arguments)
    finally:
        Gtk.get_current_event = current


def wait_for_drawing():
    "Wait until all windows are drawn."
    end = time.monotonic() + PATIENCE
    waiting = [
        window for window in Gtk.Window.list_toplevels()
        if window.get_mapped()]
    for window in list(waiting):
        clock = window.get_window().get_frame_clock()
        clock.connect('after-paint',
            lambda c, w=window: w in waiting and waiting.remove(w))
        window.queue_draw()
    while waiting and time.monotonic() < end:
        Gtk.main_iteration_do(False)
    assert not waiting, "the client does not draw"
    settle()
