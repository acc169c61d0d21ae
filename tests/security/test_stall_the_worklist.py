# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Somebody who may write templates, or what a patient's record says, stalls
the server or the worklist of all modalities."""

import time

import pytest
from support.bombs import explode
from support.hospitals import with_company
from support.records import (
    make_exam, make_patient, make_professional, make_request)
from support.worklist import GOOD

from trytond.modules.health_imaging_worklist import batch
from trytond.modules.health_imaging_worklist.exceptions import (
    WorklistTemplateError)
from trytond.pool import Pool

hospital = with_company

SECONDS, MIB = 2.5, 100


def nested(begin, double, use, times=26):
    "A template that doubles a value so many times and then uses it."
    return (
        '{% with ' + f'a={begin}' + ' %}'
        + '{% with ' + ';'.join([f'a={double}'] * times) + ' %}'
        + use + '{% end %}{% end %}')


def twice(begin, double, use, times=26):
    "The same with two values, which are not one object."
    return (
        '{% with ' + f'a={begin};b={begin};'
        + ';'.join([f'a={double};b={double.replace("a", "b")}'] * times)
        + ' %}' + use + '{% end %}')


# What makes too much: a clear error.
BOMBS = {
    **{f'doubled tuples under {use}': nested('(text, text)', '(a, a)', use)
        for use in ['${max(a)}', '${max(a, a)}', '${sorted(a)}', '$a',
            '${str(a)}', '${"%s" % a}', '${sum(a)}']},
    **{f'doubled tuples under {use}': twice('(text, text)', '(a, a)', use)
        for use in [
            '${a == b}', '${a in [b]}', '${a < b}', '${max(a, b)}',
            '${sorted([a, b])}', '${{a: 1}[b]}', '${"x".startswith(a)}',
            '{% choose a %}{% when b %}x{% end %}{% end %}',
            '{% if a == b %}x{% end %}']},
    **{f'many texts under {use}': nested('(text,)', 'a + a', use, 15)
        for use in [
            '${max(a)}', '${sorted(a)}', '${a == a + ("",)}', '${"" in a}',
            '${"x".startswith(a)}', '${min(a)}', '${a < a + ("",)}']},
    **{f'doubled {kind} {begin}': nested(begin, double, '$a')
        for kind, begin, double in [
            ('lists', '[1]', '[a, a]'), ('lists', '[text]', 'a + a'),
            ('texts', '"x"', 'a + a'), ('texts', 'text', '"%s%s" % (a, a)'),
            ('dictionaries', '{1: text}', '{1: a, 2: a}'),
            ('replacements', '"xx"', 'a.replace("x", "xxxx")'),
            ('replacements', '"x"', 'a.replace("", "xxxx")'),
            ('joins', '"xxxx"', 'a.join(list(a))'),
            ('comprehensions', '[1]', '[y for x in a for y in (x, x)]'),
            ('pairs', '[1]', 'list(zip(a, a))'),
            ('numbers', '99', 'a * a'), ('rows', '"ab"', 'list(a) + list(a)'),
            ]},
    'text times': "${'x' * 10**9}", 'text times number': "${'x' * 1000000000}",
    'emoji times': "${text * 1000000000}",
    'times text': "${1000000000 * 'x'}",
    'power': '${9**9**9}', 'power of a number': '${number ** 99}',
    'pow': '${pow(9, 999999)}', 'shift': '${1 << 999999999}',
    'products': '${' + '*'.join(['number'] * 40) + '}',
    'center below nothing': '${"x".center(-10**18)}',
    'center far': '${"x".center(10**18)}',
    **{name: f'${{"x".{name}(1000000000)}}'
        for name in ['center', 'ljust', 'rjust', 'zfill', 'expandtabs']},
    'a tab far': '${"\\t".expandtabs(1000000000)}',
    'below nothing, then much': '{% with a="x".center(-1000000000000) %}'
    + '${text.replace("", text)}{% end %}',
    'nested comprehension':
        '${[0 for a in range(999) for b in range(999) for c in range(999)]}',
    'comprehension in comprehension':
        '${[[[0 for a in range(9999)] for b in range(9999)] for c in "ab"]}',
    'comprehension of texts': '${[text + x for x in text]}',
    'width from a value': "${'%*d' % (1000000000, 1)}",
    'width': "${'%1000000000d' % 1}", 'precision': "${'%.1000000000f' % 1}",
    'width of a text': "${'%99999999s' % 'x'}",
    'many conversions': "${('%200d' * 2000) % tuple(range(2000))}",
    'many names': "${('%(a)s' * 5000) % {'a': text}}",
    'strftime': "${my.date.strftime('%099999999d')}",
    'strftime width': "${my.date.strftime('%99999999Y')}",
    'strftime long': "${my.date.strftime('%A' * 9999)}",
    'strftime modified': "${my.date.strftime('%_99999999d')}",
    'format': "${'{:>1000000000}'.format(1)}",
    'f-string': "${f'{1:>99999999}'}",
    'rounds': '{% for x in range(10**12) %}{% end %}',
    'rounds by a number': '{% for x in range(1000000000000) %}{% end %}',
    'rounds beyond a word': '{% for x in range(' + '9' * 30 + ') %}{% end %}',
    'rounds in rounds': '{% for x in range(9999) %}' * 20 + 'x'
    + '{% end %}' * 20,
    'rounds over a text': '{% for x in text %}{% for y in text %}$x$y'
    '{% end %}{% end %}',
    'much text': '{% for x in range(19999) %}' + 'x' * 9999 + '{% end %}',
    'much of one value': '{% for x in range(19999) %}$text{% end %}',
    'a number of many digits': '${int("9" * 60000)}',
    'a float of many digits': '${float("9" * 60000)}',
    'a literal of many digits': '${' + '9' * 3900 + '}',
    'digits of a number': '${str(10**5000)}',
    'sum of many': '${sum([number] * 99999)}',
    'a dictionary of many': '${{x: text for x in range(99999)}}',
    'a set of many': '${{x for x in range(99999)}}',
    'splitting': '${[letters.split("") for x in range(999)]}',
    'splitting often': '${[list(text) for x in range(999)]}',
    'pieces often':
        '${[letters.replace("a", "a ").split() for x in range(99)]}',
    'parts often': '${[text.partition("x") for x in range(9999)]}',
    'slices often': '${[text[x:] for x in range(9999)]}',
    'upper often': '${[text.upper() for x in range(9999)]}',
    'long needles': '${[letters.rfind("a" * 20000 + "b" + "a" * 20000) '
    'for x in range(9999)]}',
    'long sets': '${letters.strip("b" * 50000 + "a")}',
    'depth': '${' + '(' * 1900 + '1' + ')' * 1900 + '}',
    'depth of minus': '${' + '-' * 3900 + '1}',
    'depth of lists': nested(
        '[1]', '[' * 15 + 'a' + ']' * 15, '${a == 1}', 40),
    'depth of directives': '{% if 1 %}' * 9000,
    'lambda': '${(lambda f: f(f))(lambda f: f(f))}',
    'guarded by the patient': '{% if PatientName == "Doe^Jane" %}'
    '{% for x in range(15000) %}{% if letters in letters + letters + "b" %}'
    '{% end %}{% end %}{% end %}',
    'sorting often': '${[sorted(list) for x in range(19999)]}',
    'finding often': '{% for x in range(15000) %}'
    '{% if "b" * 30000 in letters %}{% end %}{% end %}',
    'equal often': '{% with b=text+"" %}{% for x in range(19999) %}'
    '{% if text + "x" == b %}{% end %}{% end %}{% end %}',
    'max often': '{% for x in range(19999) %}{% if max(letters) %}{% end %}'
    '{% end %}',
    'a directive without end': '{% ' * 21000, 'braces': '${' * 30000,
    'quotes': '${"' * 20000, 'triple quotes': '${"""' * 12000,
    'both quotes': '${"""' + "'''" * 12000, 'comments': '{#' * 30000,
    'spaces': '{% if ' + ' ' * 60000 + ' x' + ' ' * 3000 + '%}',
    'spaces often': ('{% with x' + ' ' * 3900 + '= %}') * 15,
    }
# What is no entry, or costs little: no matter which error.
JSON_BOMBS = {
    'deep lists': '[' * 60000, 'deep objects': '{"a":' * 12000,
    'escapes': '"\\' * 30000, 'keys': '{' + '"a":1,' * 9000,
    'tokens': '{"PatientName": "' + '$text' * 3 + '"}',
    'many tokens': '{% for x in range(19999) %}${x}{% end %}',
    'many words': '{"PatientComments": "{% for x in range(3) %}'
    '${text}{% end %}"}',
    }
DUMP_BOMBS = {
    'deep sequences': '(0040,0100) SQ\n(fffe,e000) na\n' * 1500,
    'many items': '(0040,0100) SQ\n' + '(fffe,e000) na\n(fffe,e00d) na\n'
    * 1900,
    'many items by rounds': '(0040,0100) SQ\n{% for x in range(6000) %}'
    '(fffe,e000) na\n(fffe,e00d) na\n{% end %}',
    'many attributes by rounds': '(0011,0010) LO [x]\n'
    '{% for x in range(6000) %}(0011,${x}) LO [x]\n{% end %}',
    'attributes by an expression': "{% for x in range(6000) %}"
    "${'(0011,%04d) LO [x]\\n' % x}{% end %}",
    'many values': '(0010,2110) LO [' + 'x\\\\' * 20000 + ']',
    'many words': '(0010,4000) LT [$text$text$text]',
    }


@pytest.fixture(scope='module')
def results():
    "What the bombs came to, by name."
    bombs = {
        **{name: (text, 'dump2dcm') for name, text in BOMBS.items()},
        **{f'json {name}': (text, 'json')
            for name, text in JSON_BOMBS.items()},
        **{f'dump {name}': (text, 'dump2dcm')
            for name, text in DUMP_BOMBS.items()}}
    return dict(zip(bombs, explode(list(bombs.values()))))


@pytest.mark.parametrize('name', BOMBS)
def test_what_takes_too_much_is_an_error(results, name):
    result = results[name]
    assert 'killed' not in result, result
    assert result['seconds'] < SECONDS and result['mib'] < MIB, result
    error, sentence = result['error']
    assert error != 'DatasetError' and sentence.startswith('Line 1: '), result


@pytest.mark.parametrize('name', [
        *(f'json {name}' for name in JSON_BOMBS),
        *(f'dump {name}' for name in DUMP_BOMBS)])
def test_what_is_no_entry_takes_little(results, name):
    result = results[name]
    assert 'killed' not in result, result
    assert result['seconds'] < SECONDS and result['mib'] < MIB, result
    assert result['error'], result


# In the database

STALLS = (
    '{% if my.comment != "Sample" %}'
    '{% with a="a" * 60000; b="a" * 500 + "b" + "a" * 499 %}'
    '{% for x in range(9999) %}{% if a.rfind(b) == 0 %}{% end %}{% end %}'
    '{% end %}{% end %}')


def make_exams(count, **values):
    "Return exams, each with a template of its own."
    Template = Pool().get('gnuhealth.imaging_worklist.worklist_template')
    exams = []
    for number in range(count):
        template, = Template.create([{
                    'name': f"Test {number}", 'template_type': 'dump2dcm',
                    'charset': 'ISO_IR 192', **values}])
        exam = make_exam(
            f"Exam {number}", code=f'{len(values["template"])}-{number}',
            type_='ctscan', aetitle='CT1')
        exam.imaging_worklist_template = template
        exam.save()
        exams.append(exam)
    return exams


def poll(exams, each=3):
    "Return the entries of requests of the exams, and the seconds they took."
    Request = Pool().get('gnuhealth.imaging.test.request')
    doctor, patient = make_professional(), make_patient("A", "B")
    Request.requested([
            make_request(patient, exam, doctor)
            for exam in exams for _ in range(each)])
    begin = time.process_time()
    entries = Request.get_worklist_entries()['entries']
    return entries, time.process_time() - begin


def test_a_bomb_is_not_saved(hospital):
    for name in ['power', 'rounds by a number', 'doubled texts text']:
        with pytest.raises(WorklistTemplateError):
            make_exams(1, template=BOMBS[name] + GOOD)


def test_one_template_that_stalls_keeps_no_others(hospital):
    slow = make_exams(1, template=STALLS + GOOD)
    fast = make_exams(2, template=GOOD)
    entries, seconds = poll(slow + fast)
    assert [bool(entry['error']) for entry in entries] == (
        [True] * 3 + [False] * 6)
    assert all("too long" in entry['error'] for entry in entries[:3])
    assert not any(entry['text'] for entry in entries[:3])
    assert seconds < 8


def test_many_templates_that_stall_have_one_bound(hospital, monkeypatch):
    monkeypatch.setattr(batch, 'POLL_SECONDS', 4)
    slow = make_exams(8, template=STALLS + GOOD)
    fast = make_exams(1, template=GOOD)
    entries, seconds = poll(slow + fast)
    assert [bool(entry['error']) for entry in entries] == (
        [True] * 24 + [False] * 3)
    assert seconds < 4 + 27 * batch.ENTRY_SECONDS + 3
