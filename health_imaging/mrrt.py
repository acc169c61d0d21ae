# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads report templates of the IHE profile Management of Radiology Report
Templates (MRRT), which are HTML5, into texts with pick lists.

Nothing of a file is run or fetched.  What cannot be kept is listed.
"""
import re
from collections import namedtuple
from itertools import islice

from lxml import etree, html

from . import picks
from .sections import SECTIONS

#: How large a file may be, in bytes.
LIMIT = 1_000_000
# The one of all texts that no heading gives to another.
_OTHER = 'comment'

#: A template: its name, language, texts by section, who made it and its
#: license, and what could not be kept.
Template = namedtuple('Template', 'name language texts notice lost')
#: What could not be kept: a code and the text or how many times.
Lost = namedtuple('Lost', 'code text')

# How headings of the sections begin, in the languages of the suite.
_WORDS = {
    'technique': (
        r'technique|technik|untersuchungstechnik|técnica|tecnica|tecnologia'
        r'|procedure|protocol|技术|检查方法|检查技术|التقنية|تقنية'),
    'comparison': (
        r'compar|vergleich|voruntersuchung|vorbefund|confront|对比|比较'
        r'|مقارنة|المقارنة'),
    'impression': (
        r'impress|impresión|conclusi|conclusão|beurteilung|zusammenfassung'
        r'|diagnosis\b|印象|结论|诊断|意见|الانطباع|الخلاصة'),
    'comment': (
        r'findings?\b|befunde?\b|hallazgos|résultats|constatations|reperti'
        r'|achados|所见|النتائج'),
    }
_HEADINGS = {
    section: re.compile(fr'(?:^|[&/+]\s*)(?:{words})', re.IGNORECASE)
    for section, words in _WORDS.items()}

_BLOCKS = {
    'address', 'article', 'aside', 'blockquote', 'body', 'caption', 'dd',
    'details', 'div', 'dl', 'dt', 'fieldset', 'footer', 'form', 'h1', 'h2',
    'h3', 'h4', 'h5', 'h6', 'header', 'hr', 'legend', 'li', 'main',
    'nav', 'ol', 'p', 'pre', 'section', 'summary', 'table', 'tr', 'ul'}
_TITLES = {
    'h1': 1, 'h2': 2, 'h3': 3, 'h4': 4, 'header': 2, 'summary': 2}
# What shows or does something in a browser only.
_LOST = {
    'script': 'script', 'noscript': 'script', 'template': 'script',
    'style': 'style', 'button': 'button', 'img': 'picture', 'svg': 'picture',
    'canvas': 'picture', 'video': 'picture', 'audio': 'picture',
    'object': 'picture', 'embed': 'picture', 'iframe': 'picture',
    'math': 'picture'}
_FIELDS = ('input', 'select', 'textarea')
_BUTTONS = {'button', 'submit', 'reset', 'image', 'file'}
_NUMBERS = {'number', 'range'}
# What no person reads.
_COUNTED = {
    'codes': ('data-radlex', 'data-loinc', 'data-snomed', 'data-en'),
    'limits': ('min', 'max', 'step', 'maxlength', 'pattern'),
    'preset': ('checked', 'selected'),
    'several': ('multiple',)}
_NOTICE = (
    'title', 'creator', 'contributor', 'publisher', 'rights', 'license',
    'source', 'identifier', 'date')


class Refused(Exception):
    """The file is no template that can be read: ``large`` or
    ``unreadable``."""


def read(content):
    """Return the template in a file.

    :rtype: Template
    :raises Refused: it is too large, or no HTML
    """
    if len(content) > LIMIT:
        raise Refused('large')
    if b'\0' in content:
        raise Refused('unreadable')
    try:
        # HTML has no entities of its own, and none of a file is resolved.
        parser = html.HTMLParser(
            encoding=_encoding(content), no_network=True, huge_tree=False,
            remove_comments=True, remove_pis=True)
        root = html.document_fromstring(content, parser=parser)
    except (etree.LxmlError, ValueError):
        raise Refused('unreadable') from None
    body = root.find('body')
    if body is None or not body.xpath('string()').strip():
        raise Refused('unreadable')
    return _Reader(root).template(body)


def _encoding(content):
    """Return the encoding of a file, None when the file itself tells."""
    try:
        content.decode('utf-8')
    except UnicodeDecodeError:
        return None
    return 'utf-8'


class _Reader:
    """Goes through one file."""

    def __init__(self, root):
        self._root = root
        self._labels = {
            label.get('for'): label
            for label in root.iter('label') if label.get('for')}
        self._radios = {}
        for radio in root.iter('input'):
            if _kind(radio) == 'radio':
                self._radios.setdefault(radio.get('name'), []).append(radio)
        self._written = set()
        self._texts = {section: [] for section in SECTIONS}
        # Where texts go, the level of the heading that said so, and where
        # they go after it.
        self._section, self._level, self._base = _OTHER, 9, _OTHER
        self._lost = {}

    def template(self, body):
        """Return the template of a body, an element of lxml."""
        self._count()
        self._walk(body)
        texts = {
            section: _tidy(''.join(parts))
            for section, parts in self._texts.items()}
        name = ' '.join((self._root.findtext('head/title') or '').split())
        return Template(
            name or self._meta('title'), self._root.get('lang') or '', texts,
            '\n'.join(filter(None, map(self._meta, _NOTICE))),
            list(self._lost))

    def _meta(self, name):
        "Return what the head of the file says of itself."
        for meta in self._root.iter('meta'):
            if (meta.get('name') or '').lower() in {
                    f'dcterms.{name}', f'dc.{name}'}:
                return ' '.join((meta.get('content') or '').split())
        return ''

    def _count(self):
        "Note what is in the file and nobody reads."
        for code, names in _COUNTED.items():
            count = sum(
                any(name in element.attrib for name in names)
                for element in self._root.iter(etree.Element))
            if count:
                self._lose(code, str(count))
        for element in self._root.iterfind('head/*'):
            if element.tag in _LOST:
                self._lose(_LOST[element.tag], _excerpt(element))

    def _lose(self, code, text):
        self._lost[Lost(code, text)] = None

    # Writing

    def _put(self, text):
        """Add words to the present section."""
        clean = text
        if '[' in text or ']' in text:
            if picks.check(text) or picks.find(text):
                clean = text.replace('[', '(').replace(']', ')')
                self._lose('brackets', ' '.join(text.split()))
        self._add(re.sub(r'\s+', ' ', clean))

    def _add(self, text):
        parts = self._texts[self._section]
        # What stands side by side in a browser is not one word.
        if parts and text and parts[-1][-1:].isalnum() and text[0].isalnum():
            parts.append(' ')
        if text:
            parts.append(text)

    def _add_pick(self, text):
        self._add(f' {text} ')

    def _break(self):
        self._texts[self._section].append('\n')

    # Going through

    def _walk(self, element):
        """Add an element and what is in it."""
        tag = element.tag
        if tag in _LOST:
            self._lose(_LOST[tag], _excerpt(element))
        elif element not in self._written:
            before = self._section, self._level, self._base
            self._begin(element)
            block = _is_block(element)
            if tag in {'sub', 'sup'}:
                # An empty part joins what is before and after it.
                self._texts[self._section].append('')
            if block or tag == 'br':
                self._break()
            if tag in _FIELDS:
                getattr(self, f'_{tag}')(element)
            else:
                self._inside(element)
            if tag in {'section', 'details'}:
                self._section, self._level, self._base = before
            if block:
                self._break()
            elif tag in {'td', 'th'} and element.getnext() is not None:
                self._add(' / ')
            elif tag in {'sub', 'sup'}:
                self._texts[self._section].append('')

    def _inside(self, element):
        if element.text:
            self._put(element.text)
        for child in element:
            self._walk(child)
            if child.tail and child not in self._written:
                self._put(child.tail)

    def _begin(self, element):
        """Choose the section for what follows."""
        name = element.get('data-section-name')
        if element.tag == 'section' and name:
            self._section = self._base = _section_of(name) or _OTHER
            self._level = 0
            self._break()
            if not _HEADINGS[self._section].match(name):
                self._put(name)
        elif element.tag in _TITLES:
            self._head(element, _TITLES[element.tag])

    def _head(self, element, level):
        title = ' '.join(element.text_content().split())
        section = _section_of(title)
        if section:
            self._section, self._level = section, level
        elif level <= self._level:
            self._section = self._base
        if section and _HEADINGS[section].fullmatch(title):
            # The report has this heading.
            self._lose('heading', title)
            self._written.add(element)
            element.clear(keep_tail=True)

    # Fields

    def _select(self, element):
        options = []
        for option in element.iter('option', 'optgroup'):
            text = ' '.join(option.text_content().split())
            if option.tag == 'optgroup':
                self._lose('group', option.get('label') or '')
            else:
                options.append(text)
        self._choose(options)

    def _choose(self, options):
        for option in options:
            if re.search(r'[\[\]|]', option):
                self._lose('brackets', option)
        self._add_pick(picks.choice(options))

    def _textarea(self, element):
        text = element.text_content()
        self._hint(element)
        if text.strip():
            self._put(text)
        else:
            self._add_pick('[__]')

    def _hint(self, element):
        hint = ' '.join((element.get('placeholder') or '').split())
        if hint and hint != _unit(element):
            self._lose('hint', hint)

    def _input(self, element):
        kind = _kind(element)
        if kind in _BUTTONS:
            self._lose('button', element.get('value') or kind)
        elif kind == 'radio':
            self._choose([
                    self._label(radio)
                    for radio in self._radios.pop(element.get('name'), ())])
        elif kind == 'checkbox':
            text = self._label(element)
            if text:
                self._choose([text, '–'])
        elif kind != 'hidden':
            self._hint(element)
            value = (element.get('value') or '').strip()
            if value:
                self._put(f' {value} ')
            else:
                self._add_pick(f'[__ {_unit(element)}'.rstrip() + ']')

    def _label(self, element):
        """Return the words of a box to check, which are not written again."""
        label = self._labels.get(element.get('id'))
        if label is None:
            label = next(element.iterancestors('label'), None)
            if label is not None and len(list(islice(
                            label.iter(*_FIELDS), 2))) > 1:
                label = None
        if label is None:
            text = ' '.join((element.tail or '').split())
            element.tail = None
            return text
        text = ' '.join(' '.join(label.itertext()).split())
        for child in label:
            self._written.add(child)
            child.tail = None
        label.text = None
        return text


def _is_block(element):
    """Return whether an element stands on lines of its own."""
    if element.tag == 'label':
        # With its field, else it stands before it.
        return next(element.iter(*_FIELDS), None) is not None
    return element.tag in _BLOCKS


def _kind(element):
    return (element.get('type') or 'text').lower()


def _unit(element):
    """Return the unit of a field for a number."""
    hint = element.get('placeholder') or ''
    if _kind(element) not in _NUMBERS:
        return ''
    return hint if re.fullmatch(r'[^\W\d_]{1,4}[²³/\w]{0,4}|%|°', hint) else ''


def _section_of(title):
    """Return the section that a heading names, or None."""
    return next((
            section for section in _HEADINGS
            if _HEADINGS[section].search(title)), None)


def _excerpt(element):
    text = ' '.join(' '.join(element.itertext()).split())
    return (text or element.get('alt') or element.get('src') or '')[:200]


def _tidy(text):
    """Return a text without needless blanks and empty lines."""
    lines = [re.sub(' +', ' ', line).strip() for line in text.split('\n')]
    return '\n'.join(filter(None, lines))
