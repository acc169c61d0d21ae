# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rendering of worklist templates, texts in Genshi's new text syntax that
users write.

Templates cannot call anything (see `expressions`), and whatever the values
hold cannot break the format, a dump of dump2dcm or JSON, they are put in.
"""
import datetime as dt
import re
from collections import namedtuple
from difflib import get_close_matches
from functools import lru_cache
from types import SimpleNamespace

from pydicom.datadict import dictionary_VR, keyword_for_tag, tag_for_keyword

from . import attributes, expressions
from .attributes import ENCODED_VRS, TEXT_VRS
from .expressions import (
    LIMITS, MARKS, REASONS, VALUE_MARK, EvaluationError, FieldError,
    ForbiddenError, LimitError, Limits, RecordView, State, TemplateError,
    TemplateSyntaxError, UnknownVariableError)

__all__ = [
    'DUMP2DCM', 'JSON', 'LIMITS', 'REASONS', 'EvaluationError', 'FieldError',
    'ForbiddenError', 'LimitError', 'Limits', 'RecordView', 'Template',
    'TemplateError', 'TemplateSyntaxError', 'UnknownVariableError', 'compile',
    'render', 'sample_variables']

DUMP2DCM = 'dump2dcm'
JSON = 'json'

_MAX_BLOCKS = 30
_EVALUATION_ERRORS = (
    ArithmeticError, AttributeError, LookupError, TypeError, ValueError,
    RecursionError)

# A line end that the template hides with a backslash: it is not written,
# but it counts as a line.
_HIDDEN = '\0'
_ESCAPE = re.compile(r'\\(\r?\n|\\|\{[%#])')
_DIRECTIVE = re.compile(r'(\w+)\s*(.*)', re.DOTALL)
_INTERPOLATION = re.compile(
    r'\$(?:(\$)|(\{)|([A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*))', re.ASCII)
_OPENING = re.compile(r'(?<!\\)\{[%#]')
_TOKEN = re.compile(
    r'''[^{}"']+|[{}]|"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'|["']''',
    re.DOTALL)

#: A template that `compile` has read: what it does, and the variables it
#: needs with the line where each is first named.
Template = namedtuple('Template', 'body variables')


# Places: where in the output a value comes to stand

#: VR and keyword of the attribute, and whether its bracket is open.
Place = namedtuple('Place', 'vr keyword inside')

_DUMP_ELEMENT = re.compile(
    r'\s*\(\s*([0-9a-fA-F]{1,4})\s*,\s*([0-9a-fA-F]{1,4})\s*\)'
    r'\s*([A-Za-z?]{2}(?=[\s\[]|$))?\s*')
_JSON_KEY = re.compile(r'"(\w+)"\s*:')
_TAIL = 2_000


def _dump_place(before):
    """Return the `Place` after the text ``before`` of a dump."""
    line = before[before.rfind('\n') + 1:]
    element = _DUMP_ELEMENT.match(line)
    if not element:
        return Place('', '', False)
    group, number, vr = element.groups()
    tag = int(group, 16) << 16 | int(number, 16)
    value = line[element.end():]
    return Place(
        _vr(tag, vr), keyword_for_tag(tag),
        value.startswith('[') and ']' not in value)


def _json_place(before):
    keyword = ''
    for key in _JSON_KEY.finditer(before):
        keyword = key[1]
    return Place(_vr(tag_for_keyword(keyword), ''), keyword, True)


def _vr(tag, default):
    try:
        return dictionary_VR(tag)
    except (KeyError, TypeError, ValueError):
        return (default or '').upper()


_PLACES = {DUMP2DCM: _dump_place, JSON: _json_place}


@lru_cache(maxsize=None)
def _table(template_type, is_name, is_text, is_whole, inside):
    """Return the table for `str.translate` that makes data harmless where
    it stands, and sets free what the template itself wrote.

    What must be whole keeps its backslash, and is found wrong later.
    """
    backslash = '\\' if is_text or is_whole else '/'
    table = {code: ' ' for code in [*range(32), *range(127, 160)]}
    table['\\'] = backslash
    if is_name:
        table.update({'^': ' ', '=': ' '})
    if template_type == JSON:
        table.update({'"': '\\"', '\\': backslash.replace('\\', '\\\\')})
        if is_text:
            table['\n'] = '\\r\\n'
    elif not inside:
        # Outside of brackets these would begin or end a value.
        table.update({'[': '{', ']': '}', '(': '{', '#': ' '})
    table.update({mark: char for char, mark in MARKS.items()})
    table[VALUE_MARK] = '\\\\' if template_type == JSON else '\\'
    return str.maketrans(table)


def _place_table(template_type, place):
    return _table(
        template_type, place.vr == 'PN', place.vr in TEXT_VRS,
        attributes.identifies(place.keyword), place.inside)


def _nearest(text, place, charset):
    """Return the nearest form of data that the character set can hold, marks
    apart; data itself where it identifies or is no text."""
    if (text.isascii() or place.vr and place.vr not in ENCODED_VRS
            or attributes.identifies(place.keyword)):
        return text
    return ''.join(
        piece if index % 2 else attributes.to_charset(piece, charset)
        for index, piece in enumerate(_MARKED.split(text)))


_PLAIN = re.compile(r'[^\x00-\x1f\x7f"\\\[\](#^=]*')
_MARKED = re.compile('([%s]+)' % ''.join([*MARKS.values(), VALUE_MARK]))
_STRUCTURE = re.compile(
    '([%s])' % ''.join(MARKS[c] for c in expressions.STRUCTURE))

_DATA = re.compile(r'[\[\]"\n]')


class _Target:
    """The place of one interpolation, in a dump and in JSON."""
    __slots__ = ('before', 'places', 'tables')

    def __init__(self, before):
        self.before = before
        self.places = {
            template_type: find(before)
            for template_type, find in _PLACES.items()}
        self.tables = {
            template_type: _place_table(template_type, place)
            for template_type, place in self.places.items()}

    def escape(self, text, template_type, charset):
        """Return ``text`` so that it is only text where it is put, in signs
        of the SpecificCharacterSet ``charset``."""
        if text.isascii() and _PLAIN.fullmatch(text):
            return text
        if not text.isascii() and _STRUCTURE.search(text):
            return self._escape_structured(text, template_type, charset)
        text = _nearest(text, self.places[template_type], charset)
        return text.translate(self.tables[template_type])

    def _escape_structured(self, text, template_type, charset):
        # The expression writes brackets, quotes or line ends of its own:
        # each piece of data between them has a place of its own.
        find, before, result = _PLACES[template_type], self.before, []
        for index, piece in enumerate(_STRUCTURE.split(text)):
            place = find(before)
            table = _place_table(template_type, place)
            piece = _nearest(piece, place, charset)
            result.append(piece.translate(table))
            is_structure = index % 2
            seen = result[-1] if is_structure else _DATA.sub('', piece)
            before = (before + seen)[-_TAIL:]
        return ''.join(result)


# Running

class _State(State):
    """What one rendering knows and has made so far."""
    __slots__ = (
        'template_type', 'charset', 'line', 'output', 'size', 'choices')

    def __init__(self, variables, template_type, limits):
        super().__init__(variables, limits)
        self.template_type = template_type
        self.charset = variables.get('SpecificCharacterSet')
        self.line = 1
        self.output = []
        self.size = 0
        self.choices = []

    def write(self, text):
        self.size += len(text)
        if self.size > self.limits.output:
            raise LimitError('limit_output')
        self.output.append(text)


def render(template, variables, template_type=None, limits=LIMITS):
    """Return the text that the compiled ``template`` makes of
    ``variables``, a mapping of names to texts, numbers, dates, None,
    `RecordView` and lists of these.

    ``template_type`` (``variables['template_type']`` by default) says if
    values are escaped for a dump or for JSON. In variables with a keyword
    of VR PN or with no keyword as name, not in other variables and in the
    fields of records, ``^`` and ``=`` are the separators of PN. Texts are
    written in the nearest form that the variable ``SpecificCharacterSet`` can
    hold, but for identifiers.

    Raises UnknownVariableError, ForbiddenError, LimitError or
    EvaluationError with the line of the template.
    """
    if template_type is None:
        template_type = variables.get('template_type') or DUMP2DCM
    state = _State(variables, template_type, limits)
    try:
        _run(template.body, state)
    except TemplateError as error:
        error.line = error.line or state.line
        raise
    except _EVALUATION_ERRORS as error:
        raise EvaluationError(
            'evaluation', state.line, detail=_detail(error)) from None
    return ''.join(state.output)


def _detail(error):
    return str(error) or type(error).__name__


def _run(body, state):
    for step in body:
        step(state)


def _write_text(text):
    return lambda state: state.write(text)


def _write_value(evaluate, target, line):
    def step(state):
        state.line = line
        state.tick()
        _write(state, evaluate(state), target)
    return step


def _write(state, value, target):
    if value is None:
        return
    if isinstance(value, str):
        state.write(target.escape(
                value, state.template_type, state.charset))
    elif isinstance(value, (list, tuple)):
        for item in value:
            state.tick()
            _write(state, item, target)
    elif isinstance(value, (dict, RecordView)):
        raise ForbiddenError('forbidden_value', kind=expressions.kind(value))
    else:
        state.write(str(value))


def _if(test, body, line):
    def step(state):
        state.line = line
        if test(state):
            _run(body, state)
    return step


def _for(target, items, body, line):
    def step(state):
        state.line = line
        expressions.loop(
            state, target, items(state), lambda: _run(body, state))
    return step


def _with(assignments, body, line):
    names = set().union(*(
            expressions.target_names(target) for target, _ in assignments))

    def step(state):
        state.line = line
        former = expressions.remember(state, names)
        for target, evaluate in assignments:
            expressions.assign(state.names, target, evaluate(state))
        _run(body, state)
        expressions.restore(state, former)
    return step


def _choose(value, body, line):
    def step(state):
        state.line = line
        state.choices.append([False, value and (value(state),)])
        _run(body, state)
        state.choices.pop()
    return step


def _when(test, body, line):
    def step(state):
        state.line = line
        choice = state.choices[-1]
        if not choice[0] and test(state):
            choice[0] = True
            _run(body, state)
    return step


# Reading

def compile(source, names=None):
    """Return the `Template` that the text ``source`` is.

    ``names``, when given, are all variables there are. Raises
    TemplateSyntaxError, ForbiddenError, LimitError or UnknownVariableError
    with the line.
    """
    if len(source) > LIMITS.source:
        raise LimitError('limit_source', 1)
    template = _Reader(source.replace(_HIDDEN, '')).read()
    for name, line in template.variables.items():
        if names is not None and name not in names:
            raise _unknown(name, names, line)
    return template


def _unknown(name, names, line):
    hints = get_close_matches(name, names, n=1)
    if hints:
        return UnknownVariableError(
            'variable_hint', line, name=name, hint=hints[0])
    return UnknownVariableError('variable', line, name=name)


#: A directive whose end is not read yet; ``make(body)`` gives its step.
_Block = namedtuple('_Block', 'command make body bound line')


class _Reader:
    """Reads the text of one template."""

    def __init__(self, source):
        self.source = source
        self.line = 1
        self.before = ''
        self.variables = {}
        self.blocks = [_Block('', None, [], (), 1)]

    @property
    def bound(self):
        return [name for block in self.blocks for name in block.bound]

    def read(self):
        for is_directive, text in _split(self.source):
            if is_directive is None:
                raise TemplateSyntaxError(
                    'directive_open', self.line, name=text)
            if is_directive:
                self._read_directive(text)
                self.line += text.count('\n')
            else:
                self._read_text(text)
        if len(self.blocks) > 1:
            block = self.blocks[-1]
            raise TemplateSyntaxError(
                'block_open', block.line, name=block.command)
        return Template(tuple(self.blocks[0].body), self.variables)

    def _add(self, step):
        self.blocks[-1].body.append(step)

    # Text and interpolation

    def _read_text(self, text):
        text = _ESCAPE.sub(
            lambda m: _HIDDEN if m[1].endswith('\n') else m[1], text)
        start = 0
        while start < len(text):
            found = _INTERPOLATION.search(text, start)
            self._add_text(text[start:found.start() if found else None])
            if not found:
                break
            start = self._read_interpolation(text, found)

    def _read_interpolation(self, text, found):
        dollar, brace, name = found.groups()
        end = found.end()
        if dollar:
            self._add_text('$')
            return end
        if brace:
            end = self._find_brace(text, found.end())
        source = name or text[found.end():end - 1]
        target = _Target(self.before)
        expression = self._parse(source)
        self._add(_write_value(expression, target, self.line))
        self.line += _count_lines(source)
        return end

    def _add_text(self, text):
        self.line += _count_lines(text)
        text = text.replace(_HIDDEN, '')
        if text:
            self.before = (self.before + text)[-_TAIL:]
            self._add(_write_text(text))

    def _find_brace(self, text, start):
        depth = 1
        for token in _TOKEN.finditer(text, start):
            depth += {'{': 1, '}': -1}.get(token[0], 0)
            if not depth:
                return token.end()
        raise TemplateSyntaxError('directive_open', self.line, name='${')

    def _parse(self, source):
        return self._use(expressions.parse(
                source.replace(_HIDDEN, ''), self.line, self.bound))

    def _use(self, expression, bound=()):
        for name in expression.names - expression.guarded - {*bound}:
            self.variables.setdefault(name, self.line)
        return expression.evaluate

    # Directives

    def _read_directive(self, text):
        if text.startswith('{#'):
            return
        found = _DIRECTIVE.match(text[2:-2].strip())
        if not found:
            raise TemplateSyntaxError('directive_empty', self.line)
        command, value = found.groups()
        if command == 'end':
            return self._end()
        read = self._DIRECTIVES.get(command)
        if read is None:
            self._refuse(command)
        if len(self.blocks) > _MAX_BLOCKS:
            raise LimitError('block_depth', self.line)
        make, bound = read(self, command, value)
        self.blocks.append(_Block(command, make, [], bound, self.line))

    def _refuse(self, command):
        if command in {'python', 'include', 'def', 'import'}:
            raise ForbiddenError(
                'directive_forbidden', self.line, name=command)
        raise TemplateSyntaxError(
            'directive_unknown', self.line, name=command)

    def _end(self):
        if len(self.blocks) == 1:
            raise TemplateSyntaxError('end', self.line)
        block = self.blocks.pop()
        self._add(block.make(tuple(block.body)))

    def _value(self, command, value):
        if not value:
            raise TemplateSyntaxError(
                'directive_value', self.line, name=command)
        return self._parse(value)

    def _read_if(self, command, value):
        line, test = self.line, self._value(command, value)
        return lambda body: _if(test, body, line), ()

    def _read_for(self, command, value):
        parts = re.split(r'\s+in\s+', value, maxsplit=1)
        if len(parts) < 2:
            raise TemplateSyntaxError('for', self.line)
        try:
            target = expressions.parse_target(parts[0], self.line)
        except TemplateSyntaxError:
            raise TemplateSyntaxError('for', self.line) from None
        line, items = self.line, self._parse(parts[1])
        bound = expressions.target_names(target)
        return lambda body: _for(target, items, body, line), bound

    def _read_with(self, command, value):
        line, bound, assignments = self.line, self.bound, []
        for node in expressions.parse_assignments(value, line):
            evaluate = self._use(expressions.build(node.value, line, bound))
            for target in node.targets:
                target = expressions.build_target(target, line)
                assignments.append((target, evaluate))
                bound = [*bound, *expressions.target_names(target)]
        names = set().union(*(
                expressions.target_names(target)
                for target, _ in assignments))
        return lambda body: _with(assignments, body, line), names

    def _read_choose(self, command, value):
        line, choice = self.line, self._parse(value) if value else None
        return lambda body: _choose(choice, body, line), ()

    def _read_when(self, command, value):
        self._check_choose(command)
        line = self.line
        test = self._parse(value) if value else None
        return lambda body: _when(_matches(test), body, line), ()

    def _read_otherwise(self, command, value):
        self._check_choose(command)
        line = self.line
        return lambda body: _when(lambda state: True, body, line), ()

    def _check_choose(self, command):
        if not any(block.command == 'choose' for block in self.blocks):
            raise TemplateSyntaxError('when', self.line, name=command)

    _DIRECTIVES = {
        'choose': _read_choose,
        'for': _read_for,
        'if': _read_if,
        'otherwise': _read_otherwise,
        'when': _read_when,
        'with': _read_with,
        }


def _matches(test):
    def matches(state):
        choice = state.choices[-1][1]
        if choice is None:
            return test and test(state)
        if test is None:
            return choice[0]
        return expressions.equal(choice[0], test(state))
    return matches


def _split(source):
    """Yield the texts (False) and the directives (True) of ``source``;
    (None, start) for a directive that has no end."""
    start = 0
    while True:
        found = _OPENING.search(source, start)
        if not found:
            break
        yield False, source[start:found.start()]
        opening = found[0]
        end = source.find(opening[1] + '}', found.end())
        if end < 0:
            yield None, opening
            return
        start = end + 2
        yield True, source[found.start():start]
    yield False, source[start:]


def _count_lines(text):
    return text.count('\n') + text.count(_HIDDEN)


# A sample

class _Sample(SimpleNamespace):
    """A record that does not exist; fields not set are short texts."""

    def __getattr__(self, name):
        if name.startswith('_'):
            raise AttributeError(name)
        return "Sample"


def _sample_party(name, lastname, gender):
    return _Sample(
        __name__='party.party', rec_name=f"{lastname}, {name}", name=name,
        lastname=lastname, gender=gender, dob=dt.date(1980, 2, 29),
        ref=_SAMPLE_ID)


def _sample_patient():
    party = _sample_party("Jane", "Doe", 'f')
    return _Sample(
        __name__='gnuhealth.patient', rec_name=party.rec_name, party=party,
        puid=party.ref, dob=party.dob, gender=party.gender,
        biological_sex=party.gender, lastname=party.lastname)


def _sample_professional():
    party = _sample_party("Ann", "Roe", 'f')
    specialty = _Sample(__name__='gnuhealth.specialty', name="Radiology")
    return _Sample(
        __name__='gnuhealth.healthprofessional', rec_name=party.rec_name,
        party=party, main_specialty=_Sample(
            __name__='gnuhealth.hp_specialty', specialty=specialty),
        institution=_Sample(__name__='gnuhealth.institution', party=party))


def _sample_exam():
    type_ = _Sample(
        __name__='gnuhealth.imaging.test.type', name="CT", code='CT')
    return _Sample(
        __name__='gnuhealth.imaging.test', rec_name="Head CT",
        name="Head CT", code='CT-HEAD', aetitle='CT1', test_type=type_)


def _sample_request():
    return _Sample(
        __name__='gnuhealth.imaging.test.request', request='ORDER-1',
        request_line='ORDER-1-01-01', accession_number='ORDER-1',
        step_id='ORDER-1-01-01', date=dt.datetime(2026, 1, 31, 13, 30),
        urgent=False, modality='CT', patient=_sample_patient(),
        doctor=_sample_professional(), requested_test=_sample_exam(),
        computed_age="40y 0m 30d", comment="Sample", context=_Sample(
            __name__='gnuhealth.pathology', name="Headache"),
        merge_id=attributes.generate_uid(value=_SAMPLE_ID))


_SAMPLE_ID = 'SAMPLE-1'


def _set_fields(record, fields):
    """Add the names of the fields that ``record`` and the records in it
    have to ``fields``, by model; return it."""
    names = fields.setdefault(record.__name__, set())
    for name, value in vars(record).items():
        if not name.startswith('_'):
            names.add(name)
            if isinstance(value, _Sample):
                _set_fields(value, fields)
    return fields


def sample_variables(
        template_type=DUMP2DCM, charset='ISO_IR 192', fields=None):
    """Return the variables of a template for a patient that does not exist,
    to try the template when it is saved.

    ``fields`` are those of `RecordView` for "my"; by default the usual ones
    of a request, its patient, exam and health professional.
    """
    request = _sample_request()
    my = RecordView(request, fields or _set_fields(request, {}))
    patient, doctor = attributes.Name("Doe", "Jane"), attributes.Name(
        "Roe", "Ann", prefix="Dr")
    at, timezone = request.date, 'America/Lima'
    description = attributes.long_string(request.requested_test.name)
    physician = attributes.person_name(doctor)
    return {
        'my': my,
        'template_type': template_type,
        'MergeID': request.merge_id,
        'SpecificCharacterSet': charset,
        'TimezoneOffsetFromUTC': attributes.timezone_offset(at, timezone),
        'AccessionNumber': request.accession_number,
        'RequestedProcedureID': request.step_id,
        'RequestedProcedureDescription': description,
        'RequestedProcedurePriority':
            attributes.requested_procedure_priority(request.urgent),
        'StudyInstanceUID': request.merge_id,
        'PatientName': attributes.person_name(patient),
        'PatientID': request.patient.puid,
        'PatientBirthDate': attributes.dicom_date(request.patient.dob),
        'PatientAge': attributes.patient_age(request.patient.dob, at),
        'PatientSex': attributes.patient_sex(request.patient.gender),
        'PatientWeight': attributes.patient_weight(70.5),
        'PregnancyStatus': attributes.pregnancy_status(None, 'F'),
        'Allergies': attributes.multi_value(["Penicillin", "Iodine"]),
        'MedicalAlerts': attributes.multi_value(["Pacemaker"]),
        'CurrentPatientLocation': attributes.long_string("Ward 1"),
        'RequestingPhysician': physician,
        'RequestingService': attributes.long_string("Radiology"),
        'ReferringPhysicianName': physician,
        'InstitutionName': attributes.long_string("Sample Hospital"),
        'Modality': 'CT',
        'ScheduledStationAETitle': request.requested_test.aetitle,
        'ScheduledProcedureStepStartDate':
            attributes.dicom_date(at, timezone),
        'ScheduledProcedureStepStartTime':
            attributes.dicom_time(at, timezone),
        'ScheduledProcedureStepID': request.step_id,
        'ScheduledProcedureStepDescription': description,
        'ScheduledPerformingPhysicianName': '',
        }
