# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rendering of worklist templates: the same as Genshi for what is allowed,
nothing else is possible, and values stay values."""
import ast
import datetime as dt
import threading
import time
import tracemalloc
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace

import pytest
from genshi.template import NewTextTemplate
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from support.worklist import MESSAGES, said

from trytond.modules.health_imaging_worklist import (
    attributes, dataset, functions, reasons, rendering)
from trytond.modules.health_imaging_worklist.rendering import (
    EvaluationError, ForbiddenError, LimitError, RecordView, TemplateError,
    TemplateSyntaxError, UnknownVariableError)

# A template as GNU Health 5.0 users have it: one text for both types.
BOTH_TYPES = """\
{% if template_type=='dump2dcm' %}\\
(0008,0005) SH [$SpecificCharacterSet]
(0010,0010) PN [$PatientName]
(0010,0020) LO [${my.patient.puid}]
{% end %}\\
\\
{% if template_type=='json' %}\\
{
    "SpecificCharacterSet": "$SpecificCharacterSet",
    "PatientName": "$PatientName",
    "PatientID": "${my.patient.puid}"
}
{% end %}\
"""


def record(model='request', **values):
    return SimpleNamespace(__name__=model, **values)


def view(**values):
    return RecordView(record(**values), {'request': {*values}})


def render(source, limits=rendering.LIMITS, **values):
    return str(rendering.render(rendering.compile(source), values, limits))


def told(source, format_='dump2dcm', /, charset=None, **values):
    "Return what the entry that a template makes has, texts by keyword."
    entry = dataset.from_text(
        rendering.render(rendering.compile(source), values), format_)
    if charset is not None:
        dataset.fit(entry, charset or attributes.BASIC_CHARSET)
    return {
        element.keyword: '\\'.join(map(str, element.value))
        if element.VM > 1 else str(element.value or '')
        for element in entry.iterall() if element.VR != 'SQ'}


# The same as Genshi

VALUES = {
    'Name': 'Doe Jane',
    'Number': 12,
    'Weight': 70.5,
    'Amount': Decimal('1.50'),
    'Nothing': None,
    'Empty': '',
    'Yes': True,
    'Birth': dt.date(1980, 2, 29),
    'At': dt.datetime(2026, 1, 31, 13, 30, 5),
    'Items': ['a', 'b', 'c'],
    'Map': {'M': 'Male', 'F': 'Female'},
    'Sex': 'F',
    }
SNIPPETS = [
    'plain text\n',
    '$Name', '$Name.', '${Name}', '$$Name', '$$$Name', '100 $', '$ {x}', '$1',
    '${Number}', '$Weight', '$Amount', '$Nothing', '$Empty', '$Yes', '$Birth',
    '$At', '$Items', '${[]}', '${None}', '${(1, "x")}',
    '\\\\', '\\\n', 'a\\\nb', 'a\\\r\nb', '\\{% if x %}', '\\{# no #}', '\\n',
    '{# a comment ${x} #}', '{#\nlong\n#}',
    '{% if Yes %}yes{% end %}', '{% if Nothing %}no{% end if %}',
    '{% if Sex == "F" and Number > 3 %}\\\nboth\n{% end %}\\\n',
    '{% for i in Items %}<$i>{% end %}',
    '{% for i, c in enumerate(Items) %}${i + 1}$c {% end %}',
    '{% for (a, b) in zip("xy", range(2)) %}$a$b{% end %}',
    '{% for key in Map %}$key{% end %}',
    '{% for i in [] %}none{% end %}',
    '{% with x=1; y=x+1; a=b="z" %}$x$y$a$b{% end %}',
    '{% with x=Name.upper() %}{% with x=x.lower() %}$x{% end %}$x{% end %}',
    '{% choose %}{% when Nothing %}1{% end %}{% when Yes %}2{% end %}'
    '{% otherwise %}3{% end %}{% end %}',
    '{% choose Sex %}{% when "M" %}m{% end %}{% when "F" %}f{% end %}'
    '{% otherwise %}o{% end %}{% end %}',
    '{% choose Sex %}text{% otherwise %}o{% end %}{% end %}',
    '${Name.upper()}', '${Name.split()[0].title()}', '${Name[:3]}',
    '${Name[-4:]}', '${Name[::-1]}', '${Name[0]}',
    '${", ".join(Items)}', '${" ".join(x.upper() for x in Items if x != "b")}',
    '${[x + y for x in Items for y in "12"]}',
    '${"%s-%05.1f-%d%%" % (Name, Weight, Number)}', '${"%s" % Birth}',
    '${"%(M)s" % Map}', '${"x" * 3}', '${3 * "ab"}', '${Number * 2 + 1}',
    '${Number / 5}', '${Number // 5}', '${Number % 5}', '${-Number}',
    '${Name or "x"}', '${Empty or Nothing or "x"}', '${not Empty}',
    '${Yes and Name}', '${"M" if Sex == "M" else "F"}',
    '${1 < 2 < 3}', '${"a" in Items}', '${"z" not in Items}',
    '${Nothing is None}', '${Map[Sex]}', '${Map.F}', '${Map.get("X", "-")}',
    '${Birth.strftime("%d.%m.%Y")}', '${At.date().isoformat()}',
    '${At.strftime("%H%M%S")}', '${Birth.year}', '${(At.date() - Birth).days}',
    '${len(Name)}', '${max(1, 2)}', '${min(Items)}', '${sorted("cab")}',
    '${str(Number).zfill(5)}', '${int("7") + 1}', '${round(2.567, 1)}',
    '${sum([1, 2])}', '${any([0, 1])}', '${list(reversed(Items))}',
    '${defined("Name")}', '${defined("Other")}', '${value_of("Other", "-")}',
    '${value_of("Name")}', '${{"a": 1}["a"]}', "${'}'}", '${"{" + "}"}',
    '${Name.replace(" ", "_").startswith("Doe")}', '${ Name }', '${Name\n}',
    '${Name.partition(" ")[2].center(10, "*")}', '${abs(-3)}',
    '${bool(Items)}', '${float("1.5")}', '${tuple(Items)[1]}',
    ]


def genshi(source):
    return NewTextTemplate(source).generate(**VALUES).render(encoding=None)


@pytest.mark.parametrize('source', SNIPPETS)
def test_like_genshi(source):
    if source == '$Name.':
        assert render(source, **VALUES) == 'Doe Jane.'
    else:
        assert render(source, **VALUES) == genshi(source)


@settings(deadline=None)
@given(st.lists(st.sampled_from(
    [s for s in SNIPPETS if not s.startswith('$Name.')])))
def test_like_genshi_in_any_order(sources):
    source = ' '.join(sources)
    assert render(source, **VALUES) == genshi(source)


def test_templates_of_former_versions():
    variables = {
        'SpecificCharacterSet': 'ISO_IR 192', 'PatientName': 'Doe^Jane',
        'my': RecordView(
            record(patient=record('patient', puid='P]"1')),
            {'request': {'patient'}, 'patient': {'puid'}})}
    template = rendering.compile(BOTH_TYPES)
    dump = rendering.render(template, {
            **variables, 'template_type': 'dump2dcm'})
    assert str(dump).splitlines() == [
        '(0008,0005) SH [ISO_IR 192]', '(0010,0010) PN [Doe^Jane]',
        '(0010,0020) LO [P]"1]']
    assert told(BOTH_TYPES, 'json', **variables, template_type='json') == {
        'SpecificCharacterSet': 'ISO_IR 192', 'PatientName': 'Doe^Jane',
        'PatientID': 'P]"1'}


def test_the_parts_of_a_sample():
    variables = rendering.sample_variables()
    source = ''.join(f'${name}\n' for name in variables if name != 'my')
    text = str(rendering.render(rendering.compile(source), variables))
    assert 'Doe^Jane\n' in text
    assert 'Penicillin\\Iodine\n' in text
    assert str(rendering.render(
            rendering.compile('${my.patient.party.name}'), variables,
            )) == 'Jane'


def test_the_fields_of_a_sample():
    variables = rendering.sample_variables(fields={
            'gnuhealth.imaging.test.request': {'comment', 'patient'},
            'gnuhealth.patient': {'puid', 'blood_type'}})
    my = variables['my']
    assert my.comment == my.patient.blood_type == "Sample"
    assert my.patient.puid == variables['PatientID']
    for view, name in [(my, 'date'), (my.patient, 'dob'), (my, '_record')]:
        with pytest.raises(AttributeError):
            getattr(view, name)


# What a template needs

def test_variables_and_the_lines_that_name_them():
    template = rendering.compile(
        'text\n$A {# $Z #}\\\n\n${[B,\nC]}\n'
        '{% for x in D %}\n{% with y=x, E %}${x}$y\n${[z for z in F]}\n'
        '{% end %}{% end %}$x ${defined("G") and G} ${value_of("H")}')
    assert template.variables == {
        'A': 2, 'B': 4, 'C': 4, 'D': 6, 'E': 7, 'F': 8, 'x': 9}


def test_unknown_variables():
    names = {'PatientName', 'PatientID'}
    rendering.compile('$PatientName', names)
    with pytest.raises(UnknownVariableError) as raised:
        rendering.compile('\n\n{% if False %}$PatinetName{% end %}', names)
    assert raised.value.line == 3
    assert said(raised.value) == (
        'There is no variable "PatinetName"; "PatientName" is one.')
    with pytest.raises(UnknownVariableError, match="Line 1: .*'xyz'"):
        rendering.compile('$xyz', names)
    with pytest.raises(UnknownVariableError, match="Line 2: .*'Other'"):
        render('\n${Other}')


def test_variables_that_templates_must_not_have_do_not_exist():
    for value in [object(), print, str, b'x', iter([]), [object()], {1: print},
            {'set'}]:
        with pytest.raises(UnknownVariableError):
            render('$x', x=value)


@pytest.mark.parametrize('source, line, reason', [
        ('a\n${foo', 2, '"${" is not closed.'),
        ('a\n{% if x', 2, '"{%" is not closed.'),
        ('a\n{# x', 2, '"{#" is not closed.'),
        ('\n{% if x %}\n\n', 2,
            'The "if" that begins here is not closed by an "end".'),
        ('a\\\n\n{% end %}', 3,
            'There is no directive that this "end" could close.'),
        ('{% %}', 1, 'A directive is empty.'),
        ('\n{% else %}', 2, 'There is no directive "else".'),
        ('{% if %}{% end %}', 1, 'The directive "if" needs an expression.'),
        ('{% for x %}{% end %}', 1,
            'A loop is written as "for name in values".'),
        ('{% for x+1 in y %}{% end %}', 1,
            '"x + 1" is not available in templates.'),
        ('{% for 1 2 in y %}{% end %}', 1,
            'A loop is written as "for name in values".'),
        ('{% with x %}{% end %}', 1,
            'Names are set as "with name = value; name = value".'),
        ('{% with %}{% end %}', 1,
            'Names are set as "with name = value; name = value".'),
        ('\n{% when x %}{% end %}', 2,
            '"when" is only possible inside a "choose".'),
        ('{% otherwise %}{% end %}', 1,
            '"otherwise" is only possible inside a "choose".'),
        ('a\n\n${1 +}', 3, '"1 +" is not a valid expression.'),
        ('${}', 1, '"" is not a valid expression.'),
        ('${a b}', 1, '"a b" is not a valid expression.'),
        ('${"\\x"}', 1, '""\\x"" is not a valid expression.'),
        ('${x\ud800}', 1, '"${" is not closed.'),
        ('${[1,\n2,\n3 4]}', 3, '"[1,\n2,\n3 4]" is not a valid expression.'),
        ('{% if ' + '(' * 300 + ' %}', 1, None),
        ])
def test_syntax_errors(source, line, reason):
    with pytest.raises((TemplateSyntaxError, ForbiddenError)) as raised:
        rendering.compile(source)
    assert raised.value.line == line
    assert reason is None or said(raised.value) == reason


@pytest.mark.parametrize('source, line, reason', [
        ('\n${1 / Number}', 2, 'This cannot be calculated: division by zero.'),
        ('${Name + Number}', 1,
            '"+" is not possible: on the left is a text, on the right a '
            'number.'),
        ('${Name - 1}', 1,
            '"-" is not possible: on the left is a text, on the right a '
            'number.'),
        ('${Name[99]}', 1,
            'This cannot be calculated: string index out of range.'),
        ('${int(Name)}', 1, None),
        ('\n\n{% if Nothing.name %}{% end %}', 3,
            '"name" is read from something that has no value.'),
        ('${Nothing.upper()}', 1,
            '"upper" is read from something that has no value.'),
        ('{% for a, b in Items %}\n$a{% end %}', 1, None),
        ('{% for a in Number %}{% end %}', 1,
            'A list is needed here, this is a number.'),
        ('${"%d" % Name}', 1, None),
        ('${"%s %s" % Name}', 1, None),
        ('${"%" % Name}', 1, 'This is not a valid format.'),
        ('${Birth.strftime("%")}', 1, 'This is not a valid format.'),
        ('${Birth.replace(month=13)}', 1, None),
        ('${Birth < At}', 1, None),
        ('${Name < Number}', 1, None),
        ('${",".join([1])}', 1, 'A text is needed here, this is a number.'),
        ('${sum(Name)}', 1, 'A number is needed here, this is a text.'),
        ('${[[[1]]] == 1}', 1, 'This is a list, which cannot be compared.'),
        ('${Name.upper(1)}', 1, None),
        ('${len()}', 1, None),
        ('${Amount / 0}', 1, None),
        ('${float("x")}', 1, None),
        ('${int(float("inf"))}', 1, None),
        ('${sum(Items)}', 1, None),
        ('${max([])}', 1, None),
        ('${[[1]] == [[1]]}', 1, None),
        ('${{}[[]]}', 1, None),
        ('${Birth + 1}', 1, None),
        ('${-Name}', 1, None),
        ])
def test_errors_of_values(source, line, reason):
    with pytest.raises(EvaluationError) as raised:
        render(source, **{**VALUES, 'Number': 0})
    assert raised.value.line == line
    assert reason is None or said(raised.value) == reason


def test_every_reason_and_kind_has_its_message():
    "The codes are compared with the texts that the source has in quotes."
    told, quoted = {'template': set(), 'dataset': set()}, set()
    for path in Path(rendering.__file__).parent.glob('*.py'):
        for node in ast.walk(ast.parse(path.read_text(encoding='utf-8'))):
            if isinstance(node, ast.Constant):
                quoted.add(node.value)
            if not isinstance(node, ast.Call) or not node.args:
                continue
            name, code = getattr(node.func, 'id', ''), node.args[0]
            if not isinstance(code, ast.Constant):
                continue
            if name in {'Finding', '_error', '_finding'}:
                told['dataset'].add(code.value)
            elif isinstance(getattr(reasons, name, None), type):
                told['template'].add(code.value)
    for kind, codes in told.items():
        known = {
            name.removeprefix(f'msg_{kind}_') for name in MESSAGES
            if name.startswith(f'msg_{kind}_')} - {'wrong'}
        assert len(codes) > 5 and codes <= known <= quoted
    assert {name for name in MESSAGES if name.startswith('msg_kind_')} == {
        f'msg_kind_{kind}' for kind in [*functions._KINDS.values(), 'other']}


# Attacks

ATTACKS = [
    '{% python import os %}', '{%python x=1%}', '{%  python\nx=1 %}',
    '{% include /etc/passwd %}', '{% include ${x} %}',
    '{% def f() %}x{% end %}', '{% import os %}',
    '${__import__("os")}', '${__builtins__}', '${_lookup_name}', '${__data__}',
    '${_}', '${open("/etc/passwd").read()}', '${open}', '${eval("1")}',
    '${exec("1")}', '${compile("1", "", "eval")}', '${getattr(my, "x")}',
    '${setattr(my, "x", 1)}', '${vars()}', '${globals()}', '${locals()}',
    '${dir()}', '${type(my)}', '${isinstance(1, int)}', '${object}',
    '${help()}', '${input()}', '${print(1)}', '${id(my)}', '${hash(my)}',
    '${iter([])}', '${next(x)}', '${map(str, [])}', '${filter(None, [])}',
    '${chr(93)}', '${repr(my)}', '${ascii(my)}', '${format(1, "9")}',
    '${bytes(9)}', '${bytearray(9)}', '${memoryview(x)}', '${super()}',
    '${property()}', '${pow(9, 9)}', '${Undefined}', '${Markup("x")}',
    '${UndefinedError}', '${NotImplemented}', '${...}',
    '${str}', '${[str][0](1)}', '${(str or 1)(1)}', '${str.upper("x")}',
    '${len.__self__}', '${"".__class__}', '${"".__class__.__mro__}',
    '${().__class__.__bases__[0].__subclasses__()}', '${my.__class__}',
    '${my._record}', '${my._RecordView__record}', '${my["_record"]}',
    '${my["__class__"]}', '${my.__getattribute__("x")}', '${my.secret}',
    '${my["secret"]}', '${my.method()}', '${my.method}', '${my.save()}',
    '${my.patient.write()}', '${my.search([])}', '${my.Model}', '${my()}',
    '${my}', '${[my]}', '${"%s" % my}', '${"%s" % [my]}', '${str(my)}',
    '${str([1])}', '${"".join([my])}', '${my + my}', '${my * 2}',
    '${my[0]}', '${my[:]}', '${list(my)}', '${len(my)}', '${sorted([my, 1])}',
    '${my < my}', '${{my: 1}}', '${Map}', '${{"a": my}}', '${my.patient}',
    '${"{0.__class__}".format(my)}', '${"{}".format_map(Map)}',
    '${"x".format}', '${Name.format()}', '${Name.encode("utf-8")}',
    '${Name.translate(Map)}', '${Name.maketrans("a", "b")}',
    '${Name.expandtabs(9)}', '${Name.upper}', '${Items.append(1)}',
    '${Items.sort()}', '${Map.update(Map)}', '${Map.pop("M")}',
    '${Map.setdefault("M")}', '${Map.clear()}', '${Map.__len__()}',
    '${At.tzinfo}', '${At.now()}', '${At.utcnow()}', '${At.min}',
    '${At.fromtimestamp(0)}', '${At.timestamp()}', '${At.astimezone()}',
    '${Birth.today()}', '${Birth.resolution}', '${Number.real}',
    '${Number.bit_length()}', '${Number.to_bytes(9)}', '${Weight.hex()}',
    '${Amount.as_tuple()}', '${Amount.copy_abs()}', '${(1).numerator}',
    '${lambda: 1}', '${(lambda x: x(x))(lambda x: x(x))}', '${(x := 1)}',
    '${f"{Name}"}', '${f"{Name.__class__}"}', '${b"x"}', '${1j}', '${2 ** 9}',
    '${1 << 9}', '${1 >> 1}', '${1 | 2}', '${1 & 2}', '${1 ^ 2}', '${~1}',
    '${1 @ 2}', '${{1, 2}}', '${{x for x in Items}}',
    '${{x: 1 for x in Items}}', '${{**Map}}', '${[*Items]}',
    '${max(*Items)}', '${str(**Map)}', '${(yield 1)}', '${await x}',
    '${[x async for x in Items]}', '${sorted(Items, key=len)}',
    '${[x.y for x.y in Items]}', '${[_ for _ in Items]}',
    '${[0 for Items[0] in Items]}',
    '{% for my.x in Items %}{% end %}', '{% for _x in Items %}{% end %}',
    '{% for *x in Items %}{% end %}', '{% with my.x = 1 %}{% end %}',
    '{% with my["x"] = 1 %}{% end %}', '{% with _x = 1 %}{% end %}',
    '{% with x = 1; import os %}{% end %}', '{% with import os %}{% end %}',
    '{% with x += 1 %}{% end %}', '{% with x: int = 1 %}{% end %}',
    '{% with del Name %}{% end %}', '{% with x = open("x") %}{% end %}',
    '{% if open("x") %}{% end %}', '{% for x in open("x") %}{% end %}',
    '{% choose open("x") %}{% end %}',
    '{% choose %}{% when open("x") %}{% end %}{% end %}',
    '${1; import os}', '${import os}', '${1\nimport os}', '${1) + (1}',
    '${"%c" % 93}', '${"%r" % my}', '${"%a" % Name}', '${"%*d" % (9, 1)}',
    '$my._record', '$__builtins__', '$my.secret', '$my.method',
    ]


def secret_view():
    class Patient:
        __name__ = 'patient'
        puid = 'P1'

        def write(self):
            raise AssertionError

    class Request(Patient):
        __name__ = 'request'
        comment = "fine"
        secret = 'SECRET'
        patient = Patient()

        def method(self):
            raise AssertionError
        save = search = method

    return RecordView(Request(), {
            'request': {'comment', 'patient', 'method'}, 'patient': {'puid'}})


@pytest.mark.parametrize('source', ATTACKS)
def test_attacks_are_refused(source):
    with pytest.raises(TemplateError) as raised:
        rendering.render(
            rendering.compile(source), {**VALUES, 'my': secret_view()})
    assert 'SECRET' not in str(raised.value)
    assert raised.value.line in {1, 1 + source.count('\n')}


@pytest.mark.parametrize('source', [
        '${"a" * 10000000000}', '${10000000000 * "a"}', '${Name * 9999999}',
        '${"a" * 60000 * 60000}', '${99999999999999999999999999999999999}',
        '${9 * 999999999999999999999999999999}', '${int("9" * 41)}',
        '${float("9" * 41)}', '${int(1e300)}',
        '${"%9999d" % 1}', '${"%.9999f" % 1}', '${"%2000s" % 1}',
        '${("%200d" * 3000) % tuple(range(3000))}',
        '${"%(M)s" * 5000 % {"M": "x" * 10000}}',
        '${Name.ljust(999999999)}', '${Name.rjust(999999999)}',
        '${Name.center(999999999)}', '${Name.zfill(999999999)}',
        '${("a" * 60000).replace("a", "b" * 60000)}',
        '${Name.replace("", "x" * 60000)}',
        '${("x" * 60000).join("y" * 60000)}',
        '${range(10000000000)}', '${range(0, 99999999, 1)}',
        '${list(range(100000))}',
        '${list(enumerate("x" * 60000)) + list("y" * 60000)}',
        '{% for x in range(20001) %}{% end %}',
        '{% for x in range(9999) %}{% for y in range(9999) %}{% end %}'
        '{% end %}',
        '${[0 for a in range(999) for b in range(999) for c in range(999)]}',
        '${sum(a for a in range(9999) for b in range(9999))}',
        '{% for x in range(5000) %}' + 'y' * 1000 + '{% end %}',
        '{% for x in range(5000) %}${"y" * 1000}{% end %}',
        '${["x" * 60000 for i in range(9999)]}',
        '{% with ' + ';'.join(
            f'x{i}="x"*60000' for i in range(150)) + ' %}{% end %}',
        '{% with ' + ';'.join(
            f'x{i}="x"*60000' for i in range(150)) + ' %}{% end %}',
        '{% with a="x"*60000 %}' * 4 + '${a+a}' + '{% end %}' * 4,
        '{% with a=[1,2] %}' + ''.join(
            '{% with a=[a,a] %}' for _ in range(26)) + '$a'
        + '{% end %}' * 27,
        '{% with x=1 %}' * 40 + '{% end %}' * 40,
        '${' + '-' * 100 + '1}', '${' + '1+' * 100 + '1}',
        '${' + '[' * 90 + ']' * 90 + '}', '${' + 'not ' * 100 + '1}',
        '${Name' + '.upper()' * 100 + '}', '${Map' + '[0]' * 100 + '}',
        '${' + '1 if 1 else ' * 100 + '1}', '${' + 'x' * 5000 + '}',
        'x' * 64001, '$Big', '${Big[:10]}', '${Huge}', '${Large}',
        ])
def test_resources_are_bounded(source):
    tracemalloc.start()
    start = time.monotonic()
    with pytest.raises(LimitError) as raised:
        rendering.render(rendering.compile(source), {
                **VALUES, 'Big': 'x' * 2_000_000, 'Huge': Decimal('1e999999'),
                'Large': 10 ** 40})
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert raised.value.line == 1
    assert time.monotonic() - start < 20
    assert peak < 60_000_000


def test_time_is_bounded():
    source = (
        '{% for x in range(15000) %}{% if "b" * 30000 in "a" * 30000 %}'
        '{% end %}{% end %}')
    limits = rendering.LIMITS._replace(seconds=0.05, memory=10 ** 12)
    start = time.monotonic()
    with pytest.raises(LimitError, match='limit_seconds'):
        render(source, limits=limits)
    assert time.monotonic() - start < 2


@pytest.mark.parametrize('expression', [
        '-' * 3990 + '1', '(' * 1990 + ')' * 1990, '[' * 1990 + ']' * 1990,
        '{' * 100 + '}' * 100, 'not ' * 990 + '1', 'lambda:' * 500 + '1',
        'a' + '.b' * 1900, 'a' + '[0]' * 1300, 'a' + '()' * 1900,
        '1 if 1 else ' * 330 + '1', 'a if ' * 700, '9' * 3990, '1e9999',
        '"' * 3990, "'\\" * 1500, '~' * 3990 + '1', 'a' * 3990,
        '*' * 3990, '**a,' * 990, 'x:=' * 1000 + '1', 'a==' * 1300 + 'a',
        ])
def test_odd_expressions_do_no_harm(expression):
    start = time.monotonic()
    for source in [
            '${' + expression + '}',
            '{% with x = ' + expression + ' %}$x{% end %}',
            '{% for x in ' + expression + ' %}$x{% end %}']:
        try:
            text = str(rendering.render(
                    rendering.compile(source), {'a': None}))
            assert text in {'', 'inf', 'True'}
        except TemplateError as error:
            assert error.line == 1
    assert time.monotonic() - start < 5


@pytest.mark.parametrize('source', [
        '{% ' * 20000, '{% a' + ' ' * 60000, '${' * 30000, '${"' * 20000,
        "${'" * 20000, '$' * 60000, '\\' * 60000, '{#' * 30000,
        '${' + '{' * 60000, '{% if ' + ' ' * 60000 + '%}', '$a' * 30000,
        '{% for ' + ' ' * 50000 + 'in %}', '(0010,' * 10000 + '$a',
        '"a":' * 15000 + '$a', '(' + ' ' * 60000 + '$a',
        ])
def test_long_sources_are_read_fast(source):
    start = time.monotonic()
    try:
        rendering.compile(source)
    except TemplateError:
        pass
    assert time.monotonic() - start < 5


@settings(deadline=None)
@given(st.text(
    '${}%#"\'\\()[]. \nabif=0123456789forinxwthes_:,+*-', max_size=80))
def test_any_text_is_rendered_or_refused(source):
    try:
        rendering.render(
            rendering.compile(source), {'a': 'x', 'x': 1, 'my': secret_view()})
    except TemplateError as error:
        assert said(error) and 1 <= error.line <= source.count('\n') + 1


@settings(deadline=None)
@given(st.text('${}%#"\'\\()[]. \nabif=012forinxwthes_:,+*-', max_size=60))
def test_any_expression_is_calculated_or_refused(expression):
    try:
        rendering.render(
            rendering.compile('${' + expression + '}'), {
                'a': 'x', 'x': 1, 'i': ['b'], 'my': secret_view()})
    except TemplateError as error:
        assert error.line


def test_threads_do_not_meet():
    template = rendering.compile(
        '{% for i in range(300) %}{% with y=x %}$y{% end %}{% end %}')
    results = {}

    def work(letter):
        results[letter] = str(rendering.render(template, {'x': letter}))
    threads = [threading.Thread(target=work, args=(c,)) for c in 'abcdef']
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == {c: c * 300 for c in 'abcdef'}


def test_values_are_not_changed():
    values = {'Items': ['a'], 'Map': {'a': ['b']}, 'Name': 'x'}
    render('{% for Name in Items %}{% with Items=1; Map=2 %}$Map{% end %}'
        '{% end %}$Name', **values)
    assert values == {'Items': ['a'], 'Map': {'a': ['b']}, 'Name': 'x'}


# Records

ALLOWED = {
    'request': {
        'comment', 'number', 'weight', 'amount', 'flag', 'date', 'nothing',
        'patient', 'lines', 'user', 'method', 'binary', 'mixed', 'cls'},
    'patient': {'puid', 'request'},
    }


def make_view():
    patient = record('patient', puid='P1', secret='x')
    patient.request = request = record(
        comment="text", number=1, weight=1.5, amount=Decimal('2'), flag=True,
        date=dt.date(2026, 1, 31), nothing=None, patient=patient,
        lines=[patient, patient], user=record('res.user', password='x'),
        method=lambda: 1, binary=b'x', secret='x', mixed=[patient, object()],
        cls=dt.date)
    return RecordView(request, ALLOWED), request


@pytest.mark.parametrize('name', [
        'comment', 'number', 'weight', 'amount', 'flag', 'date', 'nothing'])
def test_views_give_values(name):
    view, request = make_view()
    assert getattr(view, name) == getattr(request, name)


def test_views_give_views():
    view, request = make_view()
    assert view.patient.puid == 'P1'
    assert view.patient.request.patient.request.comment == "text"
    assert view.patient == view.lines[1]
    assert view != view.patient
    assert type(view.lines) is tuple
    assert [type(line) for line in view.lines] == [RecordView] * 2
    assert len({view, view.patient, RecordView(request, ALLOWED)}) == 2
    assert 'P1' not in repr(view)


@pytest.mark.parametrize('name', [
        'secret', 'user', 'method', 'binary', 'mixed', 'cls', 'missing',
        '__class__', '__dict__', '__name__', '__init__', '_record',
        '_allowed'])
def test_views_give_nothing_else(name):
    view, _ = make_view()
    with pytest.raises(AttributeError, match=f'"{name}" of "request"'):
        getattr(view, name)
    assert not hasattr(view, name)


def test_views_cannot_be_changed():
    view, request = make_view()
    for change in [
            lambda: setattr(view, 'comment', 'x'),
            lambda: setattr(view, '_record', 'x'),
            lambda: delattr(view, 'comment')]:
        with pytest.raises(AttributeError, match="cannot change"):
            change()
    assert request.comment == "text"


@pytest.mark.parametrize('expression', [
        'my.lines[0].puid', '[my][0].patient.puid',
        'value_of("my").patient.puid', '{1: my}.get(1).patient.puid',
        'my.lines[:1][0].puid', '(my.nothing or my.patient).puid'])
def test_views_in_expressions(expression):
    assert render('${%s}' % expression, my=make_view()[0]) == 'P1'


def test_views_of_records_that_are_texts_of_other_kinds():
    class Text(str):
        def upper(self):
            raise AssertionError
    assert type(view(comment=Text("x")).comment) is str
    assert render('${my.comment.upper()}', my=view(comment=Text("x"))) == 'X'


# Values stay values

HOSTILE = [
    ']', '[', '"', '\\', '\n', '\r\n', '\x00', '\x1b', '\x85', '\u2028', '#',
    '${x}', '{% python x %}', '{# ', '$x', '\\"', '"}', '"]', '])', '\\n',
    '\\u0022', ']\n(0010,0020) LO [EVIL]', '", "PatientID": "EVIL',
    '\r(0010,0020) LO [EVIL', ']  # [', '\ufdd0\ufdd1\ufdd2\ufdd3', '\ud800',
    '\ufdd2, \ufdd2PatientID\ufdd2: \ufdd2EVIL', '\u202e', "'", '</x>', '&',
    ]
hostile = st.lists(st.one_of(st.text(), st.sampled_from(HOSTILE))).map(
    ''.join)

DUMP = """\
(0010,0010) PN [${value}]
(0010,4000) LT [${value}]
(0010,0021) LO [${value[:20] + value}] # ${value}
# ${value}
(0010,0020) LO [RIGHT]
"""
OBJECT = """\
{"PatientName": "${value}", "PatientComments": "${value}",
 "IssuerOfPatientID": "${value[:20] + value}", "PatientID": "RIGHT"}
"""


KEYWORDS = {
    'PatientName', 'PatientComments', 'IssuerOfPatientID', 'PatientID'}


@settings(deadline=None)
@given(hostile)
@example('\U000f0000')
@example('\U000f005b^=')
@example('\U000f005d\U000f000a(0010,0020) LO [WRONG] "^')
def test_no_value_breaks_a_dump(value):
    comment = attributes.clean(value, lines=True)
    for source in [DUMP, DUMP.replace('value', 'my.comment')]:
        found = told(source, value=value, my=view(comment=value))
        assert found.keys() == KEYWORDS
        assert found['PatientID'] == 'RIGHT'
        assert '\\' not in found['PatientName']
        assert found['PatientComments'] == comment.replace('\n', ' ')


@settings(deadline=None)
@given(hostile)
def test_no_value_breaks_json(value):
    comment = attributes.clean(value, lines=True)
    for source in [OBJECT, OBJECT.replace('value', 'my.comment')]:
        found = told(source, 'json', value=value, my=view(comment=value))
        assert found.keys() == KEYWORDS
        assert found['PatientID'] == 'RIGHT'
        assert '\\' not in found['PatientName']
        assert found['PatientComments'] == comment.replace('\n', '\r\n')


# One attribute in each format.
FORMATS = [
    ('dump2dcm', '({tag}) {vr} [{value}]'), ('dump2dcm', '({tag}) [{value}]'),
    ('dump2dcm', '({tag}) ?? [{value}]'), ('dump2dcm', '({tag}) {vr} {value}'),
    ('dump2dcm', '({tag}) {vr} [{{% if 1 %}}{value}{{% end %}}] # {value}'),
    ('json', '{{"{keyword}": "{value}"}}'),
    ('json', '{{"{keyword}" :\n["{value}"]}}'),
    ('json', '{{"{keyword}": {value}}}'),
    ]
ATTRIBUTES = {
    'PatientName': ('0010,0010', 'PN'), 'PatientID': ('0010,0020', 'LO'),
    'InstitutionName': ('0008,0080', 'LO'), 'Allergies': ('0010,2110', 'LO'),
    'PatientComments': ('0010,4000', 'LT'),
    'SpecificCharacterSet': ('0008,0005', 'CS'),
    }


def attribute(keyword, value, **values):
    "Return what one attribute has, the same in each format."
    tag, vr = ATTRIBUTES[keyword]
    found = {
        told(source.format(tag=tag, vr=vr, keyword=keyword, value=value),
            template_type, **values)[keyword]
        for template_type, source in FORMATS}
    assert len(found) == 1
    return found.pop()


@pytest.mark.parametrize('value, text', [
        ('a]b', 'a]b'), ('a"b', 'a"b'), ('a\\b', 'a/b'), ('a\nb', 'a b'),
        ('5 = 10^3', '5 = 10^3'), ('a\x07b', 'a b'), ('(a] #b', '(a] #b'),
        ('$x {% y %}', '$x {% y %}'),
        ])
def test_values_in_a_text(value, text):
    assert attribute('InstitutionName', '$x', x=value) == text


def test_identifiers_are_not_mended():
    value = 'A\\’B'
    assert attribute('PatientID', '$x', x=value, charset='ISO_IR 100') == value


@pytest.mark.parametrize('value, nearest', [
        ('O’Brien', "O'Brien"), ('“x”', '"x"'), ('a＾b', 'a b'),
        ('Œ – ［x］', 'OE - [x]'), ('陈 x', 'Chen x'),
        ('\ufdd0’', "'")])
def test_the_nearest_form_is_only_text(value, nearest):
    for charset in ['ISO_IR 100', '']:
        assert attribute(
            'InstitutionName', '$x', x=value, charset=charset) == nearest
        assert told(
            """${'{"InstitutionName": "' + x + '"}'}""", 'json', x=value,
            charset=charset) == {'InstitutionName': nearest}
    for charset in ['cp1252', 'ISO_IR 192']:
        assert value.strip('\ufdd0') in attribute(
            'InstitutionName', '$x', x=value, charset=charset)


def test_separators_of_names():
    free = view(comment='A^B=C')
    assert attribute('PatientName', '${x}', x='A^B=C') == 'A^B=C'
    assert attribute('PatientName', '${my.comment}', my=free) == 'A B C'
    assert attribute('PatientComments', '${my.comment}', my=free) == 'A^B=C'
    for expression, value in [
            ('my.comment + "^" + x', 'A B C^D^E'),
            ('"%s^%s" % (my.comment, x)', 'A B C^D^E'),
            ('"^".join([my.comment, x.lower()])', 'A B C^d^e'),
            ('my.comment.lower() + "^" + x', 'a b c^D^E')]:
        expression = '${%s}' % expression
        assert told(f'(0010,0010) PN [{expression}]', my=free, x='D^E') == {
            'PatientName': value}
    assert told(
        '(0010,0010) PN [${my.comment}^${my.comment}]', my=free) == {
        'PatientName': 'A B C^A B C'}
    assert told(
        '(0010,0010) PN [$PatientName$PatientID]', PatientName='A^B=C',
        PatientID='D^E=F') == {'PatientName': 'A^B=CD E F'}


@pytest.mark.parametrize('expression, value', [
        ('x.upper()', 'DOE^JANE=王^小'),
        ('x.split("=")[0]', 'Doe^Jane'),
        ('x.split("^")[0]', 'Doe'),
        ('x.replace("^", ", ")', 'Doe, Jane=王, 小'),
        ('" ".join(x.split("=")[0].split("^")[::-1])', 'Jane Doe'),
        ('x.partition("=")[0]', 'Doe^Jane'),
        ('x[:x.find("=")]', 'Doe^Jane'),
        ('"yes" if "^" in x else "no"', 'yes'),
        ('"yes" if x.startswith("Doe^") else "no"', 'yes'),
        ('"yes" if x == "Doe^Jane=王^小" else "no"', 'yes'),
        ('{"Doe^Jane=王^小": "found"}[x]', 'found'),
        ('x.count("^")', '2'),
        ('x + "^^Dr"', 'Doe^Jane=王^小^^Dr'),
        ('"%s^x" % x', 'Doe^Jane=王^小^x'),
        ('[y for y in x.split("=")][0].rstrip("^")', 'Doe^Jane'),
        ])
def test_names_in_expressions(expression, value):
    for source, template_type in [
            ('(0010,0010) PN [${%s}]', 'dump2dcm'),
            ('{"PatientName": "${%s}"}', 'json')]:
        assert told(
            source % expression, template_type, x='Doe^Jane=王^小') == {
            'PatientName': value}


@pytest.mark.parametrize('expression', [
        'my.comment.replace("=", "-")', 'my.comment.split("=")[0] + "-B"',
        '"-".join(my.comment.split("="))', 'my.comment[0] + "-B"',
        'my["comment"].replace("=", "-")'])
def test_free_texts_in_expressions(expression):
    assert render('${%s}' % expression, my=view(comment='A=B')) == 'A-B'
    assert render('${my.comment == "A=B"}', my=view(comment='A=B')) == 'True'


def test_several_values():
    several = attributes.multi_value(["a\\b", "c"])
    assert attribute('Allergies', '$x', x=several) == 'a/b\\c'
    charset = 'ISO 2022 IR 6\\ISO 2022 IR 87'
    assert attribute('SpecificCharacterSet', '$x', x=charset) == charset


def test_texts_keep_their_lines_in_json():
    for source, template_type, text in [
            ('{"PatientComments": "$x"}', 'json', 'a\r\nb\\c'),
            ('(0010,4000) LT [$x]', 'dump2dcm', 'a b\\c')]:
        assert told(source, template_type, x='a\nb\\c') == {
            'PatientComments': text}


def test_values_without_brackets():
    assert told('(0010,0020) LO $x # c', x='(a] #b') == {
        'PatientID': '(a] #b'}
    assert told('(0010,21c0) US $x', x=4) == {'PregnancyStatus': '4'}


@pytest.mark.parametrize('value', [
        'CT', ']', '[x', '"', 'a\nb', 'a (b) #'])
def test_expressions_that_write_the_format(value):
    source = (
        "${'(0008,0060) CS [%s]\\n' % x if x else ''}"
        "${'(0010,0010) PN [' + my.comment + '^A]'}")
    clean = attributes.clean(value)
    expected = {'Modality': clean, 'PatientName': f'{clean} ^A'}
    my = view(comment=value + '^')
    assert told(source, x=value, my=my) == expected
    source = '''{${'"Modality": "%s",' % x if x else ''}
        ${'"PatientName": "' + my.comment + '^A"'}}'''
    assert told(source, 'json', x=value, my=my) == expected


@settings(deadline=None)
@given(hostile)
def test_no_value_breaks_what_expressions_write(value):
    # For dcmtk that is the name of a file: it is refused.
    assume(not attributes.clean(value).startswith('='))
    for source, template_type in [
            ("${'(0008,0060) CS [%s]\\n' % x}"
                "${'(0010,0010) PN [' + y + ']'}", 'dump2dcm'),
            ('''{${'"Modality": "%s", ' % x}'''
                '''${'"PatientName": "' + y + '"'}}''', 'json')]:
        assert told(source, template_type, x=value, y=value).keys() == {
            'Modality', 'PatientName'}


@pytest.mark.parametrize('expression', [
        'x[2:5]', 'x[1:-1]', 'x.strip("x")', 'x.replace("x", "")',
        '"%s" % x[3:]', '"".join(sorted(x))', 'x.split("x")[0]', 'max(x)',
        '[c for c in x][0]', 'x * 2', '(x + x)[3:9]', 'x if x else "["'])
@pytest.mark.parametrize('value', [
        '"' * 9, ']\n' * 9, '", "PatientID": "EVIL', 'x"x",x"PatientID":"1',
        '\U000f0022"' * 9, ']\n(0010,0020) LO [EVIL'])
def test_what_is_done_to_data_makes_no_structure(expression, value):
    for source, template_type in [
            ('(0008,0080) LO [${%s}]', 'dump2dcm'),
            ('{"InstitutionName": "${%s}"}', 'json')]:
        assert told(
            source % expression, template_type, x=value).keys() == {
                'InstitutionName'}


def test_places_are_found_in_the_template_not_in_the_data():
    assert told(
        '(0010,0010) PN [$x]\n(0010,0021) LO $x', x='] (0010,4000) LT [') == {
        'PatientName': '] (0010,4000) LT [',
        'IssuerOfPatientID': '] (0010,4000) LT ['}
