# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A person at Tryton's web client: finds fields by their labels and buttons
by their words, waits for what is to be seen, and keeps each error that the
client shows."""
import itertools
import re
from contextlib import contextmanager

from playwright.sync_api import expect

#: The size of a common laptop.
SIZE = {'width': 1366, 'height': 768}
ARGUMENTS = [
    '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run',
    '--disable-background-networking', '--disable-component-update',
    '--disable-sync']
#: How long to wait for what is to be seen, in milliseconds.
PATIENCE = 60000
# Files that a hospital may add, translations of the client itself, and
# notifications, none of which are there.
_OPTIONAL = re.compile(r'/(custom\.(css|js)|locale/.*|.*/bus)$')
# No answer is waited for, nothing moves, and so it stays for a moment: one
# answer often brings the next question.  A busy machine may let that moment
# pass between two pictures, in which the client had no turn.
_IDLE = '''() => {
    const busy = !window.Sao || !window.jQuery || jQuery.active
        || Sao.common.processing.queries
        || document.getAnimations().some(a => a.playState == 'running'
            && a.effect.getTiming().iterations != Infinity);
    const now = performance.now();
    if (busy || !window._idle_since) {
        window._idle_since = now;
        window._idle_turns = 0;
    }
    return ++window._idle_turns > 10 && now - window._idle_since > 250;
    }'''
_NAMES_AND_INDENTS = '''rows => rows.map(row => {
    const texts = document.createTreeWalker(row, NodeFilter.SHOW_TEXT);
    const range = document.createRange();
    while (texts.nextNode())
        if (texts.currentNode.data.trim()) {
            range.selectNode(texts.currentNode);
            break;
        }
    return [row.innerText.trim(), range.getBoundingClientRect().left];
    })'''
_COUNT_CLICKS = '''
    window._clicks = 0;
    document.addEventListener('click', event => {
        if (event.isTrusted) window._clicks += 1;
        }, true);'''
_ERRORS = '.error-dialog.in, .warning-dialog.in, .message-dialog.in'


class Person:
    """A user at the web client.

    :param browser: of Playwright
    :param url: the address of trytond
    :param database: the name of the database
    :param shots: the folder for screenshots
    """

    def __init__(self, browser, url, database, shots):
        self.base = f'{url}/#{database}'
        self.shots = shots
        self.problems = []
        self.login = None
        self._context = browser.new_context(
            viewport=SIZE, locale='en-US', accept_downloads=True)
        self._context.set_default_timeout(PATIENCE)
        self._context.add_init_script(_COUNT_CLICKS)
        self.page = self._context.new_page()
        self.page.on('pageerror', lambda e: self.problems.append(str(e)))
        self.page.on('response', self._note)

    def _note(self, response):
        if response.status >= 400 and not _OPTIONAL.search(response.url):
            self.problems.append(f'{response.status} {response.url}')

    def close(self):
        "Close the browser window."
        self._context.close()

    def log_in(self, login, password):
        "Log in and wait for the menu."
        self.login = login
        self.page.goto(self.base)
        name = self.page.locator('input[name=login]')
        expect(name).to_be_visible(timeout=PATIENCE)
        self.settle()
        name.fill(login)
        name.press('Enter')
        secret = self.page.locator('input[type=password]')
        secret.fill(password)
        secret.press('Enter')
        expect(self.page.locator('#menu .treeview')).to_be_visible(
            timeout=PATIENCE)
        self.settle()

    def settle(self):
        "Wait until the client has no answer to wait for."
        self.page.evaluate('() => { window._idle_since = null; }')
        self.page.wait_for_function(_IDLE)

    def shoot(self, name):
        """Keep a picture of the screen and one of what is in front, and tell
        of errors that it shows."""
        self.settle()
        path = self.shots / f'{self.login}-{name}.png'
        self.page.screenshot(path=path)
        self.page.screenshot(
            path=path.with_name(f'{path.stem}-front.png'), clip=self._front(),
            style='.infobar { opacity: 0; }')
        self.check()

    def _front(self):
        "Return where the dialog or the tab in front is on the screen."
        dialog = self.place.locator('.modal-content')
        front = dialog if dialog.count() else self.place
        box = front.bounding_box()
        return {
            **box,
            'width': min(box['width'], SIZE['width'] - box['x']),
            'height': min(box['height'], SIZE['height'] - box['y']),
            }

    def check(self):
        "Fail when the client showed an error."
        for dialog in self.page.locator(_ERRORS).all():
            self.problems.append(dialog.inner_text())
        assert not self.problems, '\n'.join(self.problems)

    @property
    def clicks(self):
        "How often the person has clicked since the page was loaded."
        return self.page.evaluate('() => window._clicks')

    # Where to look

    @property
    def place(self):
        "The dialog in front, or the tab in front when there is none."
        dialogs = self.page.locator('.modal.in:visible')
        if dialogs.count():
            return dialogs.last
        return self.page.locator('#tabcontent > .tab-pane.active')

    def menu(self, *names):
        "Open an entry of the menu by the names on the way to it."
        for depth in range(1, len(names)):
            if not self._entry(names[:depth + 1]):
                self._entry(names[:depth]).click()
                self.settle()
        entry = self._entry(names)
        assert entry, f"{self.login} has no menu {' / '.join(names)}"
        entry.click()
        self.settle()

    def _entry(self, names):
        "Return the entry of the menu, None when it is not shown."
        entries = self.page.locator('#menu .treeview tbody tr:visible')
        place, indent = -1, -1
        shown = entries.evaluate_all(_NAMES_AND_INDENTS)
        for name in names:
            below = itertools.takewhile(
                lambda entry: entry[1][1] > indent,
                list(enumerate(shown))[place + 1:])
            found = [(i, left) for i, (text, left) in below if text == name]
            if not found:
                return None
            place, indent = found[0]
        return entries.nth(place).get_by_text(names[-1], exact=True)

    def open(self, path):
        "Open an address of the client, such as model/NAME/ID."
        self.page.goto('about:blank')
        self.page.goto(f'{self.base}/{path}')
        expect(self.page.locator('#menu .treeview')).to_be_visible(
            timeout=PATIENCE)
        self.settle()

    # What to do there

    def field(self, label):
        "Return the input of the field with a label."
        return self.place.get_by_label(f'{label}:', exact=True).first

    def fill(self, label, text):
        "Type a text in a field and leave it."
        field = self.field(label)
        field.fill(text)
        field.press('Tab')
        self.settle()

    def write(self, text):
        "Write in the text without a label."
        area = self.place.locator('textarea:visible')
        area.fill(text)
        area.blur()
        self.settle()

    def choose(self, label, text):
        "Type a part of a name in a field and take what is offered."
        self.take(self.field(label), text)

    def pick(self, label, text):
        "Choose from a list that opens."
        self.field(label).select_option(label=text)
        self.settle()

    def take(self, field, text):
        "As choose, in an input without a label."
        field.press_sequentially(text)
        offer = self.page.locator('li.completion:visible').filter(
            has_text=text)
        offer.first.click()
        self.settle()

    def press(self, words):
        "Press the button with these words."
        self.place.get_by_role('button', name=words, exact=True).first.click()
        self.settle()

    def has(self, words):
        "Return whether a button with these words is seen."
        return self.place.get_by_role(
            'button', name=words, exact=True).first.is_visible()

    def relate(self, words):
        "Open what belongs to the record by the menu of the toolbar."
        self.tool('relate')
        self.page.locator('.dropdown-menu:visible').get_by_text(
            words, exact=True).click()
        self.settle()

    def tool(self, id_):
        "Press a button of the toolbar, such as save."
        self.place.locator(f'button#{id_}').click()
        self.settle()

    def page_of(self, words):
        "Open a page of the notebook."
        self.place.get_by_role('tab', name=words, exact=True).click()
        self.settle()

    def tab(self, words):
        "Choose a tab of the list, which may show how many it has."
        self.place.get_by_role('tab', name=re.compile(f'^{words}')).click()
        self.settle()

    def row(self, *texts):
        "Return the first row of a list with all texts."
        rows = self.place.locator('tbody > tr:visible')
        for text in texts:
            rows = rows.filter(has_text=text)
        return rows.first

    def cell(self, *texts):
        """Return a cell of the row with all texts, one that is no link to
        another record."""
        cells = self.row(*texts).locator('td:visible:not(:has(a, input))')
        return cells.filter(has_text=re.compile(r'\w')).first

    def open_row(self, *texts):
        "Open the record of the row with all texts."
        self.cell(*texts).dblclick()
        self.settle()

    def press_in_row(self, words, *texts):
        "Choose the row with all texts and press the button in it."
        self.cell(*texts).click()
        self.settle()
        self.row(*texts).get_by_role('button', name=words, exact=True).click()
        self.settle()

    def sign(self):
        "Sign the report in front, agree to the question, and see it final."
        with self.confirming():
            self.place.get_by_role('button', name="Sign", exact=True).click()
        expect(self.field("State")).to_have_value('"final"')

    def go_back(self, name):
        "Go to a window that is open."
        self.page.locator('#tablist').get_by_text(
            re.compile(f'^{name}')).click()
        self.settle()

    def see(self, text):
        "Wait until a text is seen."
        expect(self.place.get_by_text(text).first).to_be_visible(
            timeout=PATIENCE)

    @contextmanager
    def confirming(self):
        "Answer the question that follows with yes."
        yield
        dialog = self.page.locator(
            '.confirmation-dialog.in, .user-warning-dialog.in')
        expect(dialog).to_be_visible()
        dialog.get_by_role('button', name=re.compile('^(Yes|OK)$')).click()
        self.settle()
