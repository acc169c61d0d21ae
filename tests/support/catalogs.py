# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The catalogues of translations: what the modules have to say, and what each
language says for it.

Run as a program it brings the catalogues up to date: new texts come in
untranslated, texts that are gone go, everything else stays::

    sh his-utils/test.sh -e catalogs
"""
import csv
import re
import sys
import unicodedata
from pathlib import Path

import polib

from trytond.transaction import Transaction

LANGUAGES = ['ar', 'de', 'es', 'fr', 'it', 'pt_BR', 'zh_CN']
# What trytond and relatorio put values in, and markup.
PLACEHOLDER = re.compile(
    r'%\(\w+\)[sdr]|%[sd%]|\{\w*\}|\$\{\w+\}|</?\w+[^>]*>')

# Plurals of Arabic that are other words, and the ending before a suffix.
ARABIC_FORMS = {
    'فحص': 'فحوص', 'أمر': 'أوامر', 'نتيجة': 'نتائج|نتيجت',
    'تقرير': 'تقارير', 'تنقيح': 'منقحة|نسخت', 'دراسة': 'دراست|دراسات',
    'سلسلة': 'سلاسل|سلسلت', 'صورة': 'صور', 'طريقة': 'طرق',
    'جهاز': 'أجهزة', 'قالب': 'قوالب', 'خادم': 'خوادم', 'قائمة': 'قوائم',
    'العمل': 'عمل', 'التصوير': 'تصوير', 'المريض': 'مريض',
    'تعديل': 'عدل', 'إلغاء': 'ألغ', 'ربط': 'رتبط|ارتباط', 'توقيع': 'موقع',
    }
# What Chinese says in less where it is clear.
CHINESE_FORMS = {'检查项目': '检查', '检查申请': '申请'}


def path(module, language):
    """Return where the catalogue of a module is.

    :param str language: its code, as Tryton writes it
    :rtype: pathlib.Path
    """
    root = Path(__file__).parents[2]
    return root / module / 'locale' / f'{language}.po'


def texts(module):
    """Return all that a module has to say, as an untranslated catalogue.

    It needs a transaction on a database in which the module is activated.

    :rtype: polib.POFile
    """
    from trytond.pool import Pool
    Translation = Pool().get('ir.translation')
    return polib.pofile(
        Translation.translation_export('en', module).decode())


def collect():
    "Let trytond find the texts of views and reports, as its wizard does."
    from trytond.pool import Pool
    Collect = Pool().get('ir.translation.set', type='wizard')
    session, _, _ = Collect.create()
    with Transaction().set_context(active_model=None):
        Collect.execute(session, {}, 'set_')
    Collect.delete(session)


def install(language):
    "Load a language's catalogues, as trytond does for active languages."
    from sources import MODULES

    from trytond.pool import Pool
    Language = Pool().get('ir.lang')
    Translation = Pool().get('ir.translation')
    if not Language.search([('code', '=', language)]):
        Language.create([{
                    'code': language, 'name': language,
                    'direction': 'rtl' if language == 'ar' else 'ltr'}])
    for module in MODULES:
        Translation.translation_import(
            language, module, str(path(module, language)))


def placeholders(text):
    "Return what a translation must keep as it is, sorted."
    return sorted(PLACEHOLDER.findall(text))


def words():
    """Return the words of the documentation: for each in English what each
    language says, more than one term where the page has more than one row for
    a word, such as *modality* and *modality (device)*.

    :rtype: dict(str, dict(str, list(str)))
    """
    page = Path(__file__).parents[2] / 'doc' / 'languages.rst'
    table = page.read_text(encoding='utf-8').split('   :name: words\n')[1]
    lines = table.strip('\n').split('\n\n')[0].splitlines()
    found = {}
    for english, *others in csv.reader(
            [line.strip() for line in lines], skipinitialspace=True):
        terms = found.setdefault(english.partition(' (')[0], {})
        for language, term in zip(LANGUAGES, others):
            terms.setdefault(language, []).append(term)
    return found


def plain(text):
    "Return a text without accents, vowel signs, isolates and capitals."
    return ''.join(
        letter for letter in unicodedata.normalize('NFD', text.casefold())
        if unicodedata.category(letter) not in {'Mn', 'Cf'})


def says(language, text, term):
    "Return whether a text has a term, whatever its number and person."
    if language == 'zh_CN':
        return CHINESE_FORMS.get(term, term) in text
    text = plain(text)
    return all(
        re.search(pattern, text)
        for pattern in [_forms(language, word) for word in term.split()])


def _forms(language, word):
    "Return a pattern of the forms that a word has."
    if language == 'ar':
        forms = [word, *ARABIC_FORMS.get(word, '').split('|')]
        return '|'.join(plain(form) for form in forms if form)
    word = plain(word)
    return word[:max(3, len(word) - (3 if len(word) > 6 else 1))]


def update(module, language, current):
    """Bring a catalogue up to date.

    :param polib.POFile current: what texts returned
    """
    file = path(module, language)
    known = {}
    if file.exists():
        known = {(e.msgctxt, e.msgid): e.msgstr for e in polib.pofile(file)}
    # The same words in another place are translated the same way.
    words = {msgid: msgstr for (_, msgid), msgstr in known.items()}
    catalog = polib.POFile(wrapwidth=78)
    catalog.metadata = {
        'Content-Type': 'text/plain; charset=utf-8',
        'Language': language,
        }
    for entry in current:
        catalog.append(polib.POEntry(
                msgctxt=entry.msgctxt, msgid=entry.msgid,
                msgstr=known.get((entry.msgctxt, entry.msgid))
                or words.get(entry.msgid, '')))
    file.parent.mkdir(exist_ok=True)
    catalog.save(file)


def main():
    "Bring all catalogues up to date."
    from sources import MODULES

    from trytond.tests.test_tryton import DB_NAME, USER
    with Transaction().start(DB_NAME, USER):
        collect()
        for module in MODULES:
            current = texts(module)
            for language in LANGUAGES:
                update(module, language, current)
            print(f'{module}: {len(current)} texts')


def prepare():
    "Put a database with the three modules into this process."
    import os
    root = Path(__file__).parents[2]
    for folder in ['tests', 'his-utils/demo']:
        sys.path.insert(0, str(root / folder))
    os.environ['TRYTOND_DATABASE_URI'] = 'sqlite://'
    from sources import MODULES
    from support.databases import Templates, activate
    cache = root / '.pytest_cache' / 'd' / 'databases'
    cache.mkdir(parents=True, exist_ok=True)
    templates = Templates(cache)
    templates.prepare()
    os.environ['DB_CACHE'] = str(templates.folder)
    templates.need(MODULES)
    activate(MODULES)


if __name__ == '__main__':
    prepare()
    main()
