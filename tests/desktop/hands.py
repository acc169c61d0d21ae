# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a user can do at the desktop client."""
from types import SimpleNamespace

import standins
from gi.repository import Gdk, Gtk
from tryton.common.cellrendererbutton import CellRendererButton
from tryton.gui import Main
from tryton.gui.window import Window
from tryton.gui.window.form import Form
from tryton.gui.window.view_form.screen import Screen
from tryton.gui.window.win_search import WinSearch
from tryton.gui.window.wizard import Wizard
from widgets import (
    activate, of_class, place, read, rows, settle, tab_words, texts,
    wait_for_drawing, widget_of, with_click, words)

#: The size of a common laptop.
SIZE = 1366, 768
#: From this value on, of 255, a pixel is not black.
BRIGHT = 30


class Hands:
    "What a user can do at the client."

    def arrive(self):
        "Wait for the menu, and return the name of the user."
        fill_screen()
        return Main().header.get_subtitle()

    # Where to look

    def menu(self, *names):
        "Open an entry of the menu by the names on the way to it."
        tree = Main().menu_screen.current_view.treeview
        path = self._menu_path(tree, names)
        activate(tree, path)

    def _menu_path(self, tree, names):
        model = tree.get_model()
        parent = None
        for name in names:
            if parent:
                tree.expand_row(model.get_path(parent), False)
                settle()
            found = {
                record.value['name']: iter_
                for iter_, record in self._entries(model, parent)}
            assert name in found, f"no {name} among {list(found)}"
            parent = found[name]
        return model.get_path(parent)

    def _entries(self, model, parent=None):
        iter_ = model.iter_children(parent)
        while iter_:
            record = model.get_value(iter_, 0)
            record['name'].get(record)
            yield iter_, record
            iter_ = model.iter_next(iter_)

    def entries(self, *names):
        "Return the ways to all entries of the menu below another one."
        tree = Main().menu_screen.current_view.treeview
        model = tree.get_model()
        try:
            path = self._menu_path(tree, names)
        except AssertionError:
            return []
        tree.expand_row(path, False)
        settle()
        found = []
        for _, record in self._entries(model, model.get_iter(path)):
            way = [*names, record.value['name']]
            found.extend(self.entries(*way) or [way])
        return found

    def close(self):
        "Close the page in front."
        Main().sig_win_close()

    def texts(self):
        "Return all that is to be read in front."
        return texts(widget_of(place()))

    def rows(self):
        "Return the texts of the lines of all lists in front."
        return [
            row for tree in self._trees() for _, row in rows(tree)]

    def _trees(self):
        return of_class(widget_of(place()), Gtk.TreeView)

    def _row(self, *parts):
        "Return the list and the path of the first line with all texts."
        for tree in self._trees():
            for path, row in rows(tree):
                if all(part in ' '.join(row) for part in parts):
                    return tree, path
        raise AssertionError(f"no line with {parts} among {self.rows()}")

    def _field(self, label):
        "Return the widget of the field with a label."
        view = place().screen.current_view
        labels = {}
        for child in of_class(widget_of(place()), Gtk.Label):
            labels.setdefault(
                words(child).rstrip(':'), child.get_mnemonic_widget())
        assert labels.get(label), f"no field {label} among {list(labels)}"
        for widgets in view.widgets.values():
            for widget in widgets:
                if widget.mnemonic_widget == labels[label]:
                    return widget

    def value(self, label):
        "Return what a field shows."
        widget = self._field(label).mnemonic_widget
        if isinstance(widget, Gtk.CheckButton):
            return widget.get_active()
        return read(widget)

    # What to do there

    def fill(self, label, text):
        "Type a text in a field and leave it."
        field = self._field(label)
        self._type(field.mnemonic_widget, text)
        field._focus_out()

    def write(self, text):
        "Write in the only text that is open, and leave it."
        view, = [
            view for view in of_class(widget_of(place()), Gtk.TextView)
            if view.get_editable()]
        self._type(view, text)
        place().screen.current_view.set_value()

    def _type(self, widget, text):
        if not widget.get_sensitive() or not widget.get_editable():
            raise AssertionError(f"nobody can type {text} here")
        if isinstance(widget, Gtk.TextView):
            widget.get_buffer().set_text(text)
        else:
            widget.set_text(text)

    def check(self, label):
        "Tick a box."
        self._field(label).mnemonic_widget.set_active(True)

    def choose(self, label, text):
        "Type a part of a name in a field and take the first that is found."
        field = self._field(label)
        self._type(field.wid_text, text)
        field.sig_activate()
        self._take(text)

    def add(self, name, text):
        "As choose, in the list of a field by its name."
        field, = place().screen.current_view.widgets[name]
        self._type(field.wid_text, text)
        field._sig_add()
        self._take(text)

    def _take(self, text):
        settle()
        assert isinstance(place(), WinSearch), "no list to choose from"
        self.select(text)
        self.press("OK")

    def pick(self, label, text):
        "Choose from a list that opens."
        combo = self._field(label).entry
        model = combo.get_model()
        for number, row in enumerate(model):
            if text in list(row):
                return combo.set_active(number)
        raise AssertionError(f"no {text} among {[list(r) for r in model]}")

    def press(self, label):
        "Press the button with these words."
        found = [
            button for button in of_class(widget_of(place()), Gtk.Button)
            if words(button) == label]
        assert found, f"no button {label} among {self.texts()}"
        assert found[0].get_sensitive(), f"the button {label} is grey"
        found[0].clicked()

    def buttons(self):
        "Return the words of the buttons that may be pressed."
        return [
            words(button)
            for button in of_class(widget_of(place()), Gtk.Button)
            if words(button) and button.get_sensitive()]

    def tool(self, name):
        "Press a button of the toolbar, such as save."
        button = place().buttons[name]
        assert button.get_sensitive(), f"the tool {name} is grey"
        button.emit('clicked')

    def tools(self, name):
        "Return what a menu of the toolbar offers."
        button = place().buttons[name]
        place()._update_popup_menu(
            SimpleNamespace(props=SimpleNamespace(active=True)),
            button._menu, name)
        return [
            words(item) for item in button._menu.get_children()
            if not isinstance(item, Gtk.SeparatorMenuItem)]

    def choose_tool(self, name, label):
        "Open a menu of the toolbar and choose from it."
        assert label in self.tools(name), f"no {label} in {name}"
        for item in place().buttons[name]._menu.get_children():
            if words(item) == label:
                with_click(item.activate)
                return

    def page_of(self, label):
        "Open the page of a notebook, or a tab of a list."
        for book in of_class(widget_of(place()), Gtk.Notebook):
            for number in range(book.get_n_pages()):
                tab = book.get_tab_label(book.get_nth_page(number))
                if tab_words(tab).startswith(label):
                    return book.set_current_page(number)
        raise AssertionError(f"no page {label}")

    def select(self, *parts):
        "Choose the line with all texts."
        tree, path = self._row(*parts)
        tree.set_cursor(path)

    def select_all(self):
        "Choose all lines of the first list."
        self._trees()[0].get_selection().select_all()

    def open_row(self, *parts):
        "Open the record of the line with all texts."
        tree, path = self._row(*parts)
        activate(tree, path)

    def press_in_row(self, label, *parts):
        "Press a button in the line with all texts."
        tree, path = self._row(*parts)
        for column in tree.get_columns():
            for cell in column.get_cells():
                if (isinstance(cell, CellRendererButton)
                        and cell.text == label):
                    return cell.emit('clicked', str(path))
        raise AssertionError(f"no button {label} in the line")

    def bright(self):
        "Return the share of pixels that are not black of the first picture."
        wait_for_drawing()
        for area in of_class(widget_of(place()), Gtk.DrawingArea):
            width = area.get_allocated_width()
            if area.get_mapped() and width > 100:
                pixbuf = Gdk.pixbuf_get_from_window(area.get_window(),
                    0, 0, width, area.get_allocated_height())
                data = pixbuf.get_pixels()[::pixbuf.get_n_channels()]
                return sum(value > BRIGHT for value in data) / len(data)
        raise AssertionError("no picture")

    # What was seen

    def shoot(self, path):
        "Keep a picture of the screen, with this client in front."
        for window in reversed(Gtk.Window.list_toplevels()):
            if window.get_mapped():
                window.get_window().raise_()
        for dialog in (Main().get_page() or Main()).dialogs:
            widget_of(dialog).get_window().raise_()
        wait_for_drawing()
        root = Gdk.get_default_root_window()
        Gdk.pixbuf_get_from_window(
            root, 0, 0, root.get_width(), root.get_height()).savev(
            path, 'png', [], [])

    def questions(self):
        "Return the questions that were answered with yes, and forget them."
        asked = standins.questions[:]
        standins.questions.clear()
        return asked

    def opened(self):
        """Return the files and addresses that the client handed to other
        programs, and forget them."""
        given = standins.opened[:]
        standins.opened.clear()
        return given

    # To look at everything

    def open_view(self, view):
        """Open a view by its id on records, or alone.

        :param view: dictionary with id, type, model, and ids of records, none
            for what is only typed in
        """
        if view['type'] == 'board':
            Window.create(
                None, view_ids=[view['id']], name=view['name'], context={})
        elif view['ids'] is None:
            return self._open_alone(view)
        else:
            Window.create(
                view['model'], view_ids=[view['id']], mode=[view['type']],
                res_id=view['ids'], limit=20)
        settle()
        self.close()

    def _open_alone(self, view):
        "Open a view of a wizard, which asks for no records."
        screen = Screen(
            view['model'], view_ids=[view['id']], mode=[view['type']])
        window = Gtk.Window()
        window.add(screen.widget)
        window.show_all()
        screen.new(default=False)
        screen.display()
        settle()
        window.destroy()

    def look(self):
        """Open all that is in front, tabs, views, the first record and its
        pages, and close it.  Return what it is and what it is called."""
        front = place()
        if isinstance(front, Wizard):
            return self._look_at_wizard(front)
        if isinstance(front, Form):
            return self._look_at_form(front)
        return self._look_at_board(front)

    def _look_at_wizard(self, wizard):
        found = {'kind': 'wizard', 'buttons': self.buttons()}
        wizard.states[wizard.end_state].clicked()
        return found

    def _look_at_board(self, page):
        found = {'kind': 'board', 'parts': {}}
        for part in page.board.actions:
            tabs = part.screen.screen_container
            if tabs.tab_domain:
                self._turn(tabs.notebook)
            found['parts'][part.title.get_text()] = [
                name for name, *_ in tabs.tab_domain]
        self.close()
        return found

    def _look_at_form(self, page):
        screen = page.screen
        found = {
            'kind': 'list', 'views': [], 'pages': [],
            'relate': self.tools('relate'), 'action': self.tools('action'),
            'print': self.tools('print'), 'rows': 0}
        if screen.screen_container.tab_domain:
            self._open_fullest(screen)
        found['rows'] = len(screen.group)
        if screen.group:
            screen.current_record = screen.group[0]
        for _ in range(screen.number_of_views):
            found['views'].append(screen.current_view.view_type)
            if screen.current_view.view_type == 'form':
                found['pages'] += self._turn_all()
            screen.switch_view()
            settle()
        self.close()
        return found

    def _open_fullest(self, screen):
        "Open all tabs of a list, at last the one with the most records."
        book, counts = screen.screen_container.notebook, {}
        for number in range(book.get_n_pages()):
            book.set_current_page(number)
            settle()
            counts[number] = len(screen.group)
        book.set_current_page(max(counts, key=counts.get))
        settle()

    def _turn(self, book):
        "Open each page of a notebook, and return what their tabs say."
        found = []
        for number in range(book.get_n_pages()):
            page = book.get_nth_page(number)
            if page.get_visible():
                book.set_current_page(number)
                settle()
                found.append(tab_words(book.get_tab_label(page)))
        return found

    def _turn_all(self):
        front = widget_of(place())
        return [
            text for book in of_class(front, Gtk.Notebook)
            if book.get_mapped() for text in self._turn(book)]


def fill_screen():
    "Make the window, with its head, as large as the screen."
    width, height = SIZE
    Main().window.move(0, 0)
    Main().window.resize(
        width, height - Main().header.get_allocated_height())
    settle()
