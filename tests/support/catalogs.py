# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The catalogues of translations: what the modules have to say, and what each
language says for it.

Run as a program it brings the catalogues up to date: new texts come in
untranslated, texts that are gone go, everything else stays::

    sh his-utils/test.sh -e catalogs
"""
import re
import sys
from pathlib import Path

import polib

from trytond.transaction import Transaction

LANGUAGES = ['ar', 'de', 'es', 'fr', 'it', 'pt_BR', 'zh_CN']
# What trytond and relatorio put values in, and markup.
PLACEHOLDER = re.compile(
    r'%\(\w+\)[sdr]|%[sd%]|\{\w*\}|\$\{\w+\}|</?\w+[^>]*>')


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
