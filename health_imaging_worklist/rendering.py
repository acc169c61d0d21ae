# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rendering of worklist templates, texts in Genshi's new text syntax that
users write.  Their expressions are those of `expressions`, which cannot call
anything, and each value that they write is kept apart from the text until the
format of the text has been read."""
import re
from difflib import get_close_matches
from functools import partial

from genshi.template.base import TemplateSyntaxError as GenshiError
from genshi.template.interpolation import lex

from .expressions import (
    MAX_EXPRESSION, Expression, assign, ast, parse, target_names)
from .functions import kind, sequence
from .reasons import (
    EvaluationError, ForbiddenError, LimitError, TemplateError,
    TemplateSyntaxError, UnknownVariableError)
from .texts import Text
from .values import (
    EVALUATION_ERRORS, LIMITS, RESERVED, SPECIAL, Items, Map, Pair, State,
    mark, parts, unmark)
from .variables import sample_variables  # noqa: F401
from .view import RecordView

_MAX_BLOCKS = 30
_OPENING = re.compile(r'(?<!\\)\{[%#]')
_COMMAND = re.compile(r'(\w+)\s*(.*)', re.DOTALL)
_ESCAPED = re.compile(r'\\(?:\r?\n|(\\|\{[%#]))')
# A line end that the template hides with a backslash: it is not written, but
# it counts as a line.
_HIDDEN = '\ufdef'
_NAME = re.compile(r'[A-Za-z_][\w.]*', re.ASCII)
_REFERENCE = re.compile(r'[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*', re.ASCII)


# What is written

def _write(expression, stands_alone, state):
    """Write the value of an expression, as a token that stands for it."""
    plain = expression.evaluate(state)
    if type(plain) is not str:
        plain = _text(state, plain)
    if stands_alone and not plain:
        return
    if not SPECIAL.search(plain):
        state.keep(plain)
        return
    marked = state.marked(
        lambda state: _text(state, expression.run(state)), plain)
    if marked is None or marked is plain:
        state.keep(Pair(plain, marked or mark(plain)))
        return
    # Between data there is what the expression writes of the format.
    for index, part in enumerate(parts(marked)):
        if index % 2:
            state.write(unmark(part))
        elif part:
            state.keep(Pair(unmark(part), part))


def _text(state, value):
    if isinstance(value, str):
        return value
    if value is None:
        return ''
    if isinstance(value, Items):
        state.tick()
        return ''.join(_text(state, item) for item in value)
    if isinstance(value, (Map, RecordView)):
        raise ForbiddenError('forbidden_value', kind=kind(value))
    return str(value)


# Reading

class Template:
    """A template that was read.

    Each step is a function of a `values.State`. Of what is open while the
    template is read, ``bound`` are the names that are set, ``choices`` whether
    the directives "choose" have a value.

    :ivar variables: those that it needs, with the line where each is first
        named
    :raises TemplateError: it cannot be read
    """

    def __init__(self, source):
        self.variables = {}
        self.bound = frozenset()
        self.choices = []
        self.depth = 0
        self.line = 1
        self.chunks = _split(source)
        try:
            self.run = self._read_block()
        except TemplateError as error:
            error.line = error.line or self.line
            raise

    def _read_block(self, directive=None):
        """Return the function that runs all until the end of a directive."""
        steps, begin = [], self.line
        for self.line, command, text in self.chunks:
            if command is None:
                steps.extend(self._read_text(text))
            elif command == 'end' and directive:
                break
            else:
                steps.append(self._read_directive(command, text))
        else:
            if directive:
                raise TemplateSyntaxError('block_open', begin, name=directive)

        def run(state):
            for step in steps:
                step(state)
        return run

    def _read_directive(self, command, value):
        if command == 'end':
            raise TemplateSyntaxError('end')
        if command in {'python', 'include', 'def', 'import'}:
            raise ForbiddenError('directive_forbidden', name=command)
        if command not in _DIRECTIVES:
            raise TemplateSyntaxError('directive_unknown', name=command)
        if self.depth == _MAX_BLOCKS:
            raise LimitError('block_depth')
        if command in {'if', 'for'} and not value:
            raise TemplateSyntaxError('directive_value', name=command)
        bound = self.bound
        self.depth += 1
        step = _DIRECTIVES[command](self, command, value)
        self.depth -= 1
        self.bound = bound
        return step

    def _expression(self, node):
        """Return the Expression of an ast or a text."""
        expression = Expression(node, self.line, self.bound)
        for name in expression.names:
            self.variables.setdefault(name, self.line)
        return expression

    def _read_if(self, command, value):
        test = self._expression(value)
        run = self._read_block(command)

        def step(state):
            if test.evaluate(state):
                run(state)
        return step

    def _read_for(self, command, value):
        line, words = self.line, re.split(r'\s+in\s+', value, maxsplit=1)
        try:
            target, values = parse(words[0], 'eval', line), words[1]
        except (TemplateSyntaxError, IndexError):
            raise TemplateSyntaxError('for') from None
        names, values = target_names(target), self._expression(values)
        self.bound |= names
        run = self._read_block(command)

        def step(state):
            plain, marked = map(sequence, values.pair(state))
            for pair in map(Pair, plain, marked):
                state.line = line
                state.tick()
                state.frames.append({})
                assign(state.frames[-1], target, pair)
                run(state)
                state.frames.pop()
        return step

    def _read_with(self, command, value):
        nodes, settings = parse(value, 'exec', self.line), []
        if not nodes or not all(
                isinstance(node, ast.Assign) for node in nodes):
            raise TemplateSyntaxError('with')
        for node in nodes:
            settings.append((node.targets, self._expression(node.value)))
            self.bound = self.bound.union(*map(target_names, node.targets))
        run = self._read_block(command)

        def step(state):
            state.frames.append({})
            for targets, expression in settings:
                pair = expression.pair(state)
                for target in targets:
                    assign(state.frames[-1], target, pair)
            run(state)
            state.frames.pop()
        return step

    def _read_choose(self, command, value):
        chosen = self._expression(value) if value else None
        self.choices.append(bool(value))
        run = self._read_block(command)
        self.choices.pop()

        def step(state):
            state.choices.append(
                [False, chosen.evaluate(state) if chosen else None])
            run(state)
            state.choices.pop()
        return step

    def _read_when(self, command, value):
        if not self.choices:
            raise TemplateSyntaxError('when', name=command)
        has_value, otherwise = self.choices[-1], command == 'otherwise'
        if not (value or has_value or otherwise):
            raise TemplateSyntaxError('directive_value', name=command)
        test = self._expression(value) if value and not otherwise else None
        run = self._read_block(command)

        def step(state):
            choice = state.choices[-1]
            if choice[0]:
                return
            found = otherwise or choice[1]
            if test:
                result = test.evaluate(state)
                found = found == result if has_value else result
            if found:
                choice[0] = True
                run(state)
        return step

    def _read_text(self, text):
        """Yield the steps of a text without directives."""
        text, last = _ESCAPED.sub(lambda m: m[1] or _HIDDEN, text), ' '
        try:
            for is_expression, chunk in lex(text, (None, self.line, 0), None):
                if is_expression:
                    chunk, rest = _reference(chunk)
                    yield partial(
                        _write,
                        self._expression(chunk.replace(_HIDDEN, '')),
                        last not in '["')
                    self.line += _count_lines(chunk)
                    chunk = rest
                self.line += _count_lines(chunk)
                chunk = chunk.replace(_HIDDEN, '')
                last = chunk[-1:] or ' '
                if chunk:
                    yield lambda state, chunk=chunk: state.write(chunk)
        except GenshiError:
            raise TemplateSyntaxError('directive_open', name='${') from None


_DIRECTIVES = {
    'choose': Template._read_choose,
    'for': Template._read_for,
    'if': Template._read_if,
    'otherwise': Template._read_when,
    'when': Template._read_when,
    'with': Template._read_with,
    }


def _reference(chunk):
    """Return the name that a "$" reads, and what follows it."""
    end = _REFERENCE.match(chunk).end() if _NAME.fullmatch(chunk) else None
    return chunk[:end], chunk[end:] if end else ''


def _count_lines(text):
    return text.count('\n') + text.count(_HIDDEN)


def _split(source):
    """Yield the line, name and value of each directive, and the line, None
    and the text of what is between."""
    start, line = 0, 1
    for found in iter(lambda: _OPENING.search(source, start), None):
        yield line, None, source[start:found.start()]
        line += source.count('\n', start, found.start())
        opening = found[0]
        end = source.find(opening[1] + '}', found.end()) + 2
        if end < 2:
            raise TemplateSyntaxError('directive_open', line, name=opening)
        if opening == '{%':
            yield line, *_command(source[found.end():end - 2], line)
        line += source.count('\n', found.start(), end)
        start = end
    yield line, None, source[start:]


def _command(text, line):
    if len(text) > MAX_EXPRESSION:
        raise LimitError('limit_expression', line)
    found = _COMMAND.match(text.strip())
    if not found:
        raise TemplateSyntaxError('directive_empty', line)
    return found.groups()


def compile(source, names=None):
    """Return the `Template` that a text is.

    :param names: all variables there are, when known
    :raises TemplateError: with the line
    """
    if len(source) > LIMITS.source:
        raise LimitError('limit_source', 1)
    template = Template(RESERVED.sub('', source))
    for name, line in template.variables.items():
        if names is not None and name not in names:
            hints = get_close_matches(name, names, n=1)
            if hints:
                raise UnknownVariableError(
                    'variable_hint', line, name=name, hint=hints[0])
            raise UnknownVariableError('variable', line, name=name)
    return template


def render(template, variables, limits=LIMITS):
    """Return the `Text` that a template makes of variables.

    In variables with a keyword of VR PN or with no keyword as name, not in
    other variables and in the fields of records, ``^`` and ``=`` are the
    separators of PN.

    :param Template template: what `compile` returned
    :param variables: mapping of names to texts, numbers, dates, None,
        `RecordView` and lists of these
    :raises TemplateError: with the line of the template
    """
    state = State(variables, limits)
    try:
        template.run(state)
    except TemplateError as error:
        error.line = error.line or state.line
        raise
    except EVALUATION_ERRORS as error:
        raise EvaluationError(
            'evaluation', state.line,
            detail=str(error) or type(error).__name__) from None
    return Text(''.join(state.written), state.made)
