# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""All the modules say is translated, and arrives on the screen."""
import io
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
    'AE Title', 'DICOM', 'JSON', 'OHIF', 'Orthanc', 'PDF', 'PUID', 'UID',
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
