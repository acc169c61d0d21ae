# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""All the modules say is translated, and arrives on the screen."""
import io
import re
import unicodedata
import zipfile

import polib
import pytest
from sources import MODULES
from support import catalogs
from support.records import make_result

from trytond.pool import Pool
from trytond.tests.test_tryton import with_transaction
from trytond.transaction import Transaction

KEPT = {
    # Names, and words that are the same in many languages
    '%(days)s d %(hours)s h', 'AE Title', 'DICOM', 'JSON', 'OHIF', 'Orthanc',
    'PDF', 'PUID', 'UID',
    }


@pytest.fixture(scope='module')
def texts(activated):
    "The untranslated catalogue of each module."
    @with_transaction()
    def collected():
        catalogs.collect()
        return {module: catalogs.texts(module) for module in MODULES}
    return collected()


@pytest.fixture(params=catalogs.LANGUAGES)
def language(request):
    return request.param


@pytest.mark.parametrize('module', MODULES)
def test_catalogs_are_complete(texts, module, language):
    catalog = polib.pofile(catalogs.path(module, language))
    assert {(e.msgctxt, e.msgid) for e in catalog} == {
        (e.msgctxt, e.msgid) for e in texts[module]}
    assert not catalog.obsolete_entries()
    assert not [e.msgctxt for e in catalog if e.fuzzy]
    assert not [e.msgctxt for e in catalog if not e.msgstr.strip()]


@pytest.mark.parametrize('module', MODULES)
def test_values_stay_in_their_place(module, language):
    wrong = [
        e.msgctxt for e in polib.pofile(catalogs.path(module, language))
        if catalogs.placeholders(e.msgid) != catalogs.placeholders(e.msgstr)
        or e.msgid.startswith('\n') != e.msgstr.startswith('\n')]
    assert not wrong


@pytest.mark.parametrize('module', MODULES)
def test_little_is_left_in_english(module, language):
    same = {
        e.msgid for e in polib.pofile(catalogs.path(module, language))
        if e.msgid == e.msgstr and len(e.msgid.split()) > 3}
    assert not same - KEPT


#: What stays in Latin letters also where the script is another one.
LATIN = {
    # Names of programs and their parts.
    'GNU Health', 'OHIF', 'Orthanc', 'Orthanc Explorer',
    'Orthanc Explorer 2', 'Stone',
    # Words of DICOM and of the web, as they stand on machines.
    'AE Title', 'CT', 'JSON', 'MR', 'Orthanc ID', 'SOP Class UID',
    'SOP Instance UID', 'Series Instance UID', 'Study Instance UID', 'URL',
    'US',
    }


@pytest.mark.parametrize('module', MODULES)
@pytest.mark.parametrize('language', ['ar', 'zh_CN'])
def test_nothing_is_left_in_latin_letters(module, language):
    left = {
        e.msgid for e in polib.pofile(catalogs.path(module, language))
        if e.msgstr.isascii()
        and re.search('[a-z]', catalogs.PLACEHOLDER.sub('', e.msgstr), re.I)}
    assert not left - LATIN


def mark(text):
    "Return how a text ends, whatever the script."
    return {'。': '.', '：': ':', '？': '?', '؟': '?', '！': '!'}.get(
        text[-1], text[-1]) if text[-1] not in '\u2069' else ''


@pytest.mark.parametrize('module', MODULES)
def test_texts_end_alike(module, language):
    wrong = [
        (e.msgctxt, e.msgstr)
        for e in polib.pofile(catalogs.path(module, language))
        if e.msgstr != e.msgstr.strip() and e.msgid == e.msgid.strip()
        or (mark(e.msgid) in set('.:?!…')) != (mark(e.msgstr) in set('.:?!…'))
        or mark(e.msgid) in set('.:?!…') and mark(e.msgid) != mark(e.msgstr)]
    assert not wrong


QUOTES = {'ar': '«»', 'de': '„“', 'fr': '«»', 'zh_CN': '“”'}
BRACKETS = ['()', '[]', '（）', '\u2068\u2069']


@pytest.mark.parametrize('module', MODULES)
def test_quotes_and_brackets_are_whole(module, language):
    begin, end = QUOTES.get(language, '""')
    for entry in polib.pofile(catalogs.path(module, language)):
        said = entry.msgid.count('"')
        text = entry.msgstr
        assert text.count(begin) + (begin != end) * text.count(end) == said, (
            entry.msgctxt)
        for one, other in BRACKETS:
            assert text.count(one) == text.count(other), entry.msgctxt


# A comma or colon of another script, and letters with two forms.
FOREIGN = {
    'ar': r'[,;?](?!\d)(?=\s*[\u0621-\u064a])|[\u0621-\u064a][,;?]',
    'zh_CN': r'[\u4e00-\u9fff][,;:?!.(]|[,;:?!)] ?[\u4e00-\u9fff]',
    'fr': r'[^\W\d_][;?!]|[^\W\d_]:(?!//)(?![\w%])',
    'de': r'["«»]', 'es': r'[„«»“”]', 'it': r'[„«»“”]', 'pt_BR': r'[„«»“”]',
    }


@pytest.mark.parametrize('module', MODULES)
def test_punctuation_is_that_of_the_language(module, language):
    code = re.compile(r'«\xa0[^»]*=[^»]*»')
    wrong = [
        (e.msgctxt, e.msgstr)
        for e in polib.pofile(catalogs.path(module, language))
        if re.search(FOREIGN[language], code.sub('', e.msgstr))
        or '  ' in e.msgstr
        or e.msgstr != unicodedata.normalize('NFC', e.msgstr)]
    assert not wrong


@pytest.mark.parametrize('module', MODULES)
def test_no_plural_in_brackets_and_no_accelerator(module, language):
    "Neither study(s) nor a sign that a client would show."
    wrong = [
        (e.msgctxt, e.msgstr)
        for e in polib.pofile(catalogs.path(module, language))
        if re.search(r'[^\W\d_]\([^\W\d_]{1,2}\)', e.msgstr)
        or 'button' in e.msgctxt and re.search('[_&]', e.msgstr)]
    assert not wrong


#: Values that are numbers, which no direction can take apart.
NUMBERS = {
    'age', 'already', 'count', 'days', 'files', 'hours', 'images', 'index',
    'instances', 'length', 'limit', 'line', 'minutes', 'months', 'n',
    'not_dicom', 'number', 'patients', 'rate', 'refused', 'series', 'size',
    'stored', 'studies', 'weight', 'years'}


@pytest.mark.parametrize('module', MODULES)
def test_values_keep_their_direction(module, language):
    "Values in a sentence from the right are isolated, others need it not."
    isolated = r'\u2068%\(\w+\)s\u2069'
    for entry in polib.pofile(catalogs.path(module, language)):
        if language != 'ar':
            assert '\u2068' not in entry.msgstr, entry.msgctxt
            continue
        bare = re.findall(r'%\((\w+)\)s', re.sub(isolated, '', entry.msgstr))
        assert set(bare) <= NUMBERS, entry.msgctxt


#: Texts that use an English word for something else.
OTHERWISE = {
    'exam': {"Date of the exam", "%(exam)s, urgent"},
    'order': {"The report shows them in this order."},
    # The sequence counts orders, its name is older.
    'request': {"Imaging Test Request"},
    'report': {"reports an error of its own"},
    'sign': {"digits and signs"},
    'link': {"Base URL of Links", "Links use it."},
    }
# German names a text by what it is about, and cancels dialogs otherwise.
FREELY = {
    ('de', 'report'): {
        "Report Style", "Report Revision", "Why the report changes",
        "Report Text", "check LibreOffice and",
        "it is a report, a plan"},
    ('de', 'cancel'): {"Cancel"},
    }


def test_words_are_those_of_the_documentation(language):
    words = catalogs.words()
    assert len(words) > 30
    for module in MODULES:
        for entry in polib.pofile(catalogs.path(module, language)):
            # A button may be a verb.
            if 'button' in entry.msgctxt.partition(',')[0]:
                continue
            text = re.sub(
                r'%\(\w+\)s|(Study|Series|SOP) Instance UID', '', entry.msgid)
            for word, terms in words.items():
                free = OTHERWISE.get(word, set()) | FREELY.get(
                    (language, word), set())
                if (re.search(rf'\b{word}s?\b', text, re.I)
                        and not any(f in entry.msgid for f in free)):
                    assert any(
                        catalogs.says(language, entry.msgstr, term)
                        for term in terms[language]), (
                        word, terms[language], entry.msgid, entry.msgstr)


def test_one_word_for_one_thing(language):
    "What English says in one word is no two things in one module's lists."
    for module in MODULES:
        said = {}
        for entry in polib.pofile(catalogs.path(module, language)):
            if entry.msgctxt.startswith(('field:', 'model:ir.ui.menu')):
                said.setdefault(entry.msgid, set()).add(entry.msgstr)
        assert not {k: v for k, v in said.items() if len(v) > 2}


def printed():
    "Return the text of a new result's report, before it becomes a PDF."
    Report = Pool().get('patient.imaging_report_results', type='report')
    action, = Pool().get('ir.action.report').search([
            ('report_name', '=', 'patient.imaging_report_results')])
    context = Report.get_context([make_result()], {}, {})
    document = zipfile.ZipFile(io.BytesIO(Report.render(action, context)))
    return document.read('content.xml').decode()


def test_a_new_language_is_taken_into_use(transaction):
    "As the documentation says for those that trytond does not know."
    Language = Pool().get('ir.lang')
    language, = Language.create([{
                'code': 'pt_BR', 'name': "Português (Brasil)",
                'parent': 'pt', 'direction': 'ltr'}])
    Language.load_translations([language])
    with Transaction().set_context(language='pt_BR'):
        said = [
            Pool().get(model).fields_get([field])[field]['string']
            for model, field in [
                ('gnuhealth.imaging.test.result', 'comment'),
                # It knows Portuguese only.
                ('party.party', 'lang'),
                ]]
    assert said == ["Achados", "Idioma"]


def test_a_language_is_seen(transaction, language):
    catalogs.install(language)
    said = {
        (e.msgctxt.partition(':')[0], e.msgid): e.msgstr
        for e in polib.pofile(catalogs.path('health_imaging', language))}
    with Transaction().set_context(language=language):
        Request = Pool().get('gnuhealth.imaging.test.request')
        label = Request.fields_get(['urgent'])['urgent']['string']
        report = printed()
    assert label == said['field', "Urgent"]
    assert said['report', "Interpretation"] in report
