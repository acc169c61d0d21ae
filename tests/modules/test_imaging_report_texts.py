# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""How the text of a report is written and checked: prepared texts, macros,
pick lists, what is looked at when it is signed, and the second reader."""
import datetime as dt
from pathlib import Path

import pytest
from support.records import (
    as_user, make_exam, make_professional, make_requested, make_result,
    make_user, on, run_wizard, user)

from trytond.model.exceptions import AccessError
from trytond.modules.health_imaging.exceptions import (
    KeptValueError, MacroCodeError, MacroExistsError, MrrtError,
    NotNumberError, PickListError, PickOpenError, PicksChangedError,
    ReportTextEmptyError, SameReaderError, SideWordError, SignWarning)
from trytond.pool import Pool
from trytond.transaction import Transaction, without_check_access

RESULT = 'gnuhealth.imaging.test.result'
TEMPLATE = 'gnuhealth.imaging.report.template'
MACRO = 'gnuhealth.imaging.macro'
WORD = 'gnuhealth.imaging.side_word'
ROOT = Path(__file__).parents[2]
FILES = sorted([
        *(ROOT / 'health_imaging/data').glob('*.html'),
        *(ROOT / 'tests/data/mrrt').glob('*.html')])


def again(record):
    "Return a record as it is read now."
    return type(record)(record.id)


def sign(result, **context):
    "Sign a result, saying yes to what is asked unless the context differs."
    with Transaction().set_context({'_skip_warnings': True, **context}):
        type(result).finalize([again(result)])
    return again(result)


def asked(result):
    "Return the warning that signing shows."
    with pytest.raises(SignWarning) as warning:
        sign(result, _skip_warnings=False)
    return warning.value


@without_check_access
def colleague(login='colleague', *groups):
    "Make another user who reports."
    made = make_user(
        login, *(groups or ['health_imaging.group_health_imaging_reporting']))
    make_professional(made, "Ines", "Paz")
    return made


@pytest.fixture
def administrator(acting):
    "The administration, which acts in place of the radiologist."
    made = make_user('chief', 'health_imaging.group_health_imaging_admin')
    with as_user(made):
        yield made


# Prepared texts

def test_prepared_text_fills_the_sections(acting):
    Template = Pool().get(TEMPLATE)
    with without_check_access():
        old, new = Template.create([
                {'name': "Old", 'text': "Findings: none."},
                {'name': "New", 'technique': "Plain.", 'text': "Clear.",
                    'impression': "[normal|ill]"}])
    result = Pool().get(RESULT)(
        technique=None, comparison=None, comment="Seen.", impression=None)
    for template in [old, new]:
        result.template = template
        result.on_change_template()
        assert result.template is None
    assert result.comment == "Seen.\n\nFindings: none.\n\nClear."
    assert (result.technique, result.comparison, result.impression) == (
        "Plain.", None, "[normal|ill]")


def test_prepared_texts_are_checked(administrator):
    Template = Pool().get(TEMPLATE)
    for values, place in [
            ({'text': "One\nTwo [a|b"}, ["Findings", "2", "[a|b"]),
            ({'technique': "x] y"}, ["Technique", "1", "x]"]),
            ({'impression': "[a|]"}, ["Impression", "1", "[a|]"])]:
        with pytest.raises(PickListError) as error:
            Template.create([{'name': "x", **values}])
        assert all(word in error.value.message for word in place)
    with pytest.raises(ReportTextEmptyError):
        Template.create([{'name': "x", 'technique': " "}])
    template, = Template.create([{'name': "x", 'comparison': "[sic] [1]"}])
    with pytest.raises(PickListError):
        Template.write([template], {'comparison': "["})


# Pick lists

def test_pick_lists_are_resolved_before_a_result_is_signed(acting):
    Result = Pool().get(RESULT)
    result = make_result(
        technique="As [sic]. Dose [__ mGy]",
        comment="Liver: [fatty|normal].\nNode [__], [a|b]",
        impression="Normal.")
    with pytest.raises(PickOpenError) as error:
        sign(result)
    for word in ["Findings: Liver: [fatty|normal]", "Technique", "[a|b]"]:
        assert word in error.value.message
    context = on(again(result))
    assert isinstance(Result.pick([again(result)]), (int, dict))

    def run(change=lambda lines: None, start=None):
        Wizard = Pool().get(f'{RESULT}.pick', type='wizard')
        with Transaction().set_context(**context):
            session, state, _ = Wizard.create()
            with without_check_access():
                lines = start or Wizard.execute(
                    session, {}, state)['view']['defaults']['picks']
                change(lines)
                Wizard.execute(session, {'start': {'picks': lines}}, 'fill')
            return lines

    def some(lines):
        assert [line['section'] for line in lines] == [
            "Technique", "Findings", "Findings", "Findings"]
        lines[0]['value'] = "3.5"
        lines[1]['choice'] = "normal"
        lines[2]['value'] = "of 3"

    before = again(result).comment
    with pytest.raises(NotNumberError):
        run(lambda lines: lines[0].update(value="three"))
    # What is not on the list is not taken.
    run(lambda lines: lines[1].update(choice="huge"))
    assert again(result).comment == before
    lines = run(some)
    assert again(result).technique == "As [sic]. Dose 3.5 mGy"
    assert again(result).comment == "Liver: normal.\nNode of 3, [a|b]"
    # What was open stays open, and a text that changed is not overwritten.
    with pytest.raises(PicksChangedError):
        run(start=lines)
    run(lambda lines: lines[0].update(choice="b"))
    assert sign(result).comment == "Liver: normal.\nNode of 3, b"
    with as_user(user('radiologist')), pytest.raises(Exception):
        run(start=lines)


# Macros

def test_macros_are_expanded_when_the_text_is_saved(acting):
    Macro, Result = Pool().get(MACRO), Pool().get(RESULT)
    with without_check_access():
        Macro.create([
                {'code': '.nsf', 'text': "Nothing.", 'user': None},
                {'code': '.ok', 'text': "Of all.", 'user': None},
                {'code': '.old', 'text': "Old.", 'user': None,
                    'active': False},
                {'code': '.his', 'text': "His.",
                    'user': colleague().id}])
    mine, = Macro.create([{'code': '.ok', 'text': "Mine [a|b]."}])
    assert mine.user.id == acting.id
    result = make_result()
    assert not result.text_changed_at
    Result.write([again(result)], {
            'comment': "Lung: .nsf 3.5 e.g. .ok .his .old"})
    result = again(result)
    assert result.comment == "Lung: Nothing. 3.5 e.g. Mine [a|b]. .his .old"
    assert result.text_changed_at
    with pytest.raises(KeptValueError):
        Result.write([result], {'text_changed_at': dt.datetime(2020, 1, 1)})
    shown = Result(
        technique=None, comparison=None, comment="(.nsf)", impression=".ok")
    shown.expand()
    assert (shown.comment, shown.impression) == ("(Nothing.)", "Mine [a|b].")


def test_each_user_has_macros_and_the_administration_those_of_all(acting):
    Macro = Pool().get(MACRO)
    mine, = Macro.create([{'code': '.a', 'text': "Mine."}])
    with without_check_access():
        shared, = Macro.create([
                {'code': '.a', 'text': "Of all.", 'user': None}])
        other = colleague()
        theirs, = Macro.create([
                {'code': '.a', 'text': "Theirs.", 'user': other.id}])
    assert set(Macro.search([])) == {mine, shared}
    Macro.write([mine], {'text': "Still mine."})
    for refused in [
            lambda: Macro.write([shared], {'text': "x"}),
            lambda: Macro.write([theirs], {'text': "x"}),
            lambda: Macro.delete([shared]),
            lambda: Macro.read([theirs.id], ['text']),
            lambda: Macro.create([
                    {'code': '.z', 'text': "x", 'user': None}])]:
        with pytest.raises(AccessError):
            refused()
    for code, error in [
            ('nsf', MacroCodeError), ('.5', MacroCodeError),
            ('.A', MacroCodeError), ('.a b', MacroCodeError),
            ('.a', MacroExistsError)]:
        with pytest.raises(error):
            Macro.create([{'code': code, 'text': "x"}])
    with pytest.raises(PickListError):
        Macro.create([{'code': '.c', 'text': "[a|"}])
    typed = Macro(code=" NSF")
    typed.on_change_code()
    assert typed.code == '.nsf'
    with as_user(make_user(
                'chief', 'health_imaging.group_health_imaging_admin')):
        Macro.write([again(shared)], {'text': "Of all of us."})
        Macro.create([{'code': '.b', 'text': "x", 'user': None}])
        with pytest.raises(AccessError):
            Macro.write([again(theirs)], {'text': "x"})
    for group in [
            'health.group_health_doctor',
            'health_imaging.group_health_imaging']:
        with as_user(make_user(group[-9:], group)), \
                pytest.raises(AccessError):
            Macro.search([])
    with pytest.raises(AccessError):
        Macro.write([mine], {'user': None})


# Checks when a result is signed

@pytest.mark.parametrize('exam, texts, found', [
        ("Head CT", {'comment': "Left.", 'impression': "Normal."}, []),
        ("Head CT", {'comment': "Normal."}, ["impression is empty"]),
        ("Knie links", {'impression': "Linkes Knie: normal."}, []),
        ("Knie links", {'impression': "Normal."}, ["links", "not name"]),
        ("Left hand", {'comment': "Left hand.",
                'impression': "Fracture of the right hand."},
            ["left", "the other one"]),
        ("Left hand", {'comparison': "Right hand of 2020.",
                'impression': "Left hand as the right."}, []),
        ("Hand laevus", {'impression': "Normal."}, ["laevus"]),
        ])
def test_findings_are_told_in_the_one_question(acting, exam, texts, found):
    with without_check_access():
        Pool().get(WORD).create([{'word': "laevus", 'side': 'left'}])
        request = make_requested(exam=make_exam(exam))
    result = make_result(request, **texts)
    warning = asked(result)
    assert result.patient.rec_name in warning.message
    assert all(word in warning.message for word in found)
    assert warning.name == f'{result.id}-0.imaging_sign' + (
        '_checks' if found else '')
    Warning = Pool().get('res.user.warning')
    # Who answers the plain question has not answered what was found.
    with without_check_access():
        Warning.skip(f'{result.id}-0.imaging_sign', False)
    if found:
        asked(result)
        with without_check_access():
            Warning.skip(warning.name, False)
    result = sign(result, _skip_warnings=False)
    assert result.state == 'final'
    assert [check.finding in warning.message
        for check in result.signed_anyway] == [True] * len(found[:1])
    for check in result.signed_anyway:
        assert check.signer == result.signed_by and check.revision == 0
        with pytest.raises(AccessError):
            type(check).delete([check])
        with pytest.raises(AccessError):
            type(check).write([check], {'code': "x"})


def test_words_for_sides_are_words(administrator):
    Word = Pool().get(WORD)
    Word.create([{'word': "*laev*", 'side': 'left'}])
    for word in ["two words", "*", "a|b", ""]:
        with pytest.raises(Exception) as error:
            Word.create([{'word': word, 'side': 'left'}])
        assert word == "" or isinstance(error.value, SideWordError)


# The second reader

def test_second_reader_makes_the_result_final(acting):
    Request = Pool().get('gnuhealth.imaging.test.request')
    with without_check_access():
        exam = make_exam("Mammography", second_reader=True)
        other = colleague()
    result = make_result(
        make_requested(exam=exam), comment="Clear.", impression="Normal.")
    request = result.request
    assert "second reader" in asked(result).message
    assert [r for r in Request.search([('to_read', '=', True)])] == [request]
    result = sign(result)
    assert (result.state, result.signed_by) == ('draft', None)
    assert result.first_read_by.party.internal_user.id == acting.id
    assert request not in Request.search([('to_read', '=', True)])
    assert Request.next_to_read() is None
    with pytest.raises(SameReaderError):
        sign(result)
    with pytest.raises(KeptValueError):
        type(result).write([result], {'first_read_by': None})
    with as_user(other):
        waiting, = Request.search([('to_read', '=', True)])
        assert waiting == request and waiting.read_by == \
            result.first_read_by.rec_name
        assert "second reader" not in asked(result).message
        result = sign(result)
        assert result.state == 'final'
        assert result.signed_by != result.first_read_by
        assert result.first_read_by
        with without_check_access():
            type(result)._unsign([again(result)], "x")
        # It starts again, with either of them.
        assert sign(result).first_read_by.party.internal_user.id == other.id
    assert sign(result).state == 'final'


def test_exam_without_second_reader_is_final_at_once(acting):
    result = sign(make_result(comment="Clear.", impression="Normal."))
    assert (result.state, result.first_read_by) == ('final', None)
    copied, = type(result).copy([result], default={'number': None})
    assert copied.text_changed_at and not copied.signed_anyway


# Import

def test_template_file_becomes_a_prepared_text(administrator):
    Template = Pool().get(TEMPLATE)
    exam = make_exam()
    wizard = f'{TEMPLATE}.import'

    def run(content):
        return run_wizard(wizard, [('import_', {'start': {
                            'file': content, 'file_name': 'a.html',
                            'exams': [exam.id]}})])['view']
    for path in FILES:
        shown = run(path.read_bytes())['defaults']
        template = Template(shown['template'])
        assert template.exams == (exam,)
        assert "Reiger-Ochsner" in template.notice
        assert "Hint:" in shown['lost'] and "%(" not in shown['lost']
    assert Template.search([], count=True) == 10
    for content in [b'', b'x' * 1_000_001, b'<html></html>', b'\0\1']:
        with pytest.raises(MrrtError):
            run(content)
    with as_user(user('radiologist')), pytest.raises(AccessError):
        run(b'<p>x</p>')
