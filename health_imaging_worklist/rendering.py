# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rendering of worklist templates, texts in Genshi's new text syntax that
users write. Genshi runs them, but their expressions are those of
`expressions`, which cannot call anything, and each value that they write is
kept apart from the text until the format of the text has been read.
"""
import re
from collections import namedtuple
from difflib import get_close_matches

from genshi.core import TEXT
from genshi.template import directives
from genshi.template.base import EXPR, SUB
from genshi.template.base import TemplateSyntaxError as GenshiError
from genshi.template.interpolation import lex
from genshi.template.text import NewTextTemplate

from . import expressions
from .expressions import MAX_EXPRESSION, Expression
from .functions import kind, sequence
from .reasons import (
    REASONS, EvaluationError, ForbiddenError, LimitError, TemplateError,
    TemplateSyntaxError, UnknownVariableError)
from .texts import DUMP2DCM, JSON, Text, token
from .values import (
    EVALUATION_ERRORS, LIMITS, RESERVED, SPECIAL, Items, Limits, Map, Pair,
    State, mark, parts, unmark)
from .variables import sample_variables
from .view import FieldError, RecordView

__all__ = [
    'DUMP2DCM', 'JSON', 'LIMITS', 'REASONS', 'EvaluationError', 'FieldError',
    'ForbiddenError', 'LimitError', 'Limits', 'RecordView', 'Template',
    'TemplateError', 'TemplateSyntaxError', 'UnknownVariableError', 'compile',
    'render', 'sample_variables']

_MAX_BLOCKS = 30
_OPENING = re.compile(r'(?<!\\)\{[%#]')
_COMMAND = re.compile(r'(\w+)\s*(.*)', re.DOTALL)


# What is written

class _Interpolation(Expression):
    """An expression whose value is written, as a token that stands for it."""
    __slots__ = ('stands_alone',)

    def evaluate(self, state):
        state.line = self.line
        state.tick()
        plain = self.run(state)
        if type(plain) is not str:
            plain = _text(state, plain)
        if self.stands_alone and not plain:
            return ''
        state.room -= len(plain)
        if not SPECIAL.search(plain):
            return state.keep(plain)
        marked = state.marked(self._text, plain)
        if marked is None or marked is plain:
            return state.keep(Pair(plain, marked or mark(plain)))
        # Between data there is what the expression writes of the format.
        return ''.join(
            unmark(part) if index % 2
            else part and state.keep(Pair(unmark(part), part))
            for index, part in enumerate(parts(marked)))

    def _text(self, state):
        return _text(state, self.run(state))


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


class _State(State):
    """What one rendering knows and has written so far: ``made`` are its
    values, ``room`` the characters that it may still write."""

    def __init__(self, variables, limits):
        super().__init__(variables, limits)
        self.made = []
        self.written = []
        self.measured = 0
        self.room = limits.output

    def keep(self, value):
        """Return the token of a text or a `Pair`."""
        self.made.append(value)
        return token(len(self.made) - 1)

    def measure(self):
        """Count what was written since this was asked last."""
        self.room -= sum(map(len, self.written[self.measured:]))
        self.measured = len(self.written)
        if self.room < 0:
            raise LimitError('limit_output')


# Directives

class _Directive:
    """Makes the directives of Genshi use `Expression`.

    Those of Genshi are made when a template runs first; these are there
    already, in place of their classes, when it is read.
    """
    needs_value = True
    #: The names that are set inside.
    names = frozenset()

    def __init__(self, value, template, line):
        if self.needs_value and not value:
            raise TemplateSyntaxError(
                'directive_value', line, name=self.tagname)
        self.line = line
        self.read(value, template)

    def read(self, value, template):
        """Read the text of the directive."""
        self.expr = template.expression(value, self.line) if value else None

    def attach(self, template, stream, *_):
        return self, stream


class If(_Directive, directives.IfDirective):
    pass


class For(_Directive, directives.ForDirective):

    def read(self, value, template):
        parts = re.split(r'\s+in\s+', value, maxsplit=1)
        if len(parts) < 2:
            raise TemplateSyntaxError('for', self.line)
        try:
            node = expressions.parse(parts[0], 'eval', self.line)
        except TemplateSyntaxError:
            raise TemplateSyntaxError('for', self.line) from None
        names = expressions.target(node, self.line)
        self.names = expressions.target_names(names)
        self.assign = (
            lambda scope, item: expressions.assign(scope, names, item))
        self.expr = template.expression(parts[1], self.line, _Loop)


class _Loop(Expression):
    __slots__ = ()

    def evaluate(self, state):
        plain, marked = map(sequence, self.pair(state))
        for pair in map(Pair, plain, marked):
            state.line = self.line
            state.tick()
            state.measure()
            yield pair


class With(_Directive, directives.WithDirective):
    needs_value = False

    def read(self, value, template):
        self.vars, names = [], set()
        nodes = expressions.parse(value, 'exec', self.line)
        if not nodes or not all(
                isinstance(node, expressions.ast.Assign) for node in nodes):
            raise TemplateSyntaxError('with', self.line)
        for node in nodes:
            value = template.expression(node.value, self.line, _Value, names)
            targets = [
                expressions.target(node_, self.line)
                for node_ in node.targets]
            names.update(*map(expressions.target_names, targets))
            self.vars.append(([
                        lambda frame, value, target=target:
                        expressions.assign(frame, target, value)
                        for target in targets], value))
        self.names = names


class _Value(Expression):
    __slots__ = ()
    evaluate = Expression.pair


class Choose(_Directive, directives.ChooseDirective):
    needs_value = False


class When(_Directive, directives.WhenDirective):
    needs_value = False

    def read(self, value, template):
        choose = template.enclosing(Choose)
        if not choose:
            raise TemplateSyntaxError('when', self.line, name=self.tagname)
        super().read(value, template)
        if not value and not choose.expr:
            raise TemplateSyntaxError(
                'directive_value', self.line, name=self.tagname)


class Otherwise(_Directive, directives.OtherwiseDirective):
    needs_value = False

    def read(self, value, template):
        if not template.enclosing(Choose):
            raise TemplateSyntaxError('when', self.line, name=self.tagname)


# Reading

#: A directive whose end is not read yet, and the stream that it stands in.
_Block = namedtuple('_Block', 'directive stream')


class Template(NewTextTemplate):
    """A template that was read: `variables` are those that it needs, with
    the line where each is first named."""
    directives = [
        ('choose', Choose), ('for', For), ('if', If),
        ('otherwise', Otherwise), ('when', When), ('with', With)]

    def __init__(self, source):
        self.variables = {}
        self._blocks = []
        super().__init__(source)
        self._prepare_self()

    def _init_filters(self):
        # None that reads other files.
        self.filters = [self._flatten]

    def _init_loader(self):
        self.loader = None

    def expression(self, node, line, class_=Expression, names=()):
        """Return the Expression of an ast or a text."""
        bound = {*names}.union(*(b.directive.names for b in self._blocks))
        expression = class_(node, line, bound)
        for name in expression.names:
            self.variables.setdefault(name, line)
        return expression

    def enclosing(self, class_):
        """Return the innermost open directive of a class, or None."""
        found = [
            block.directive for block in self._blocks
            if isinstance(block.directive, class_)]
        return found[-1] if found else None

    def _parse(self, source, encoding):
        stream, line = [], 1
        for command, text in _split(source.read()):
            if command == 'end':
                stream = self._close(stream, line)
            elif command:
                self._open(command, text, stream, line)
                stream = []
            elif command is None:
                stream.extend(self._interpolate(text, line))
            line += text.count('\n')
        if self._blocks:
            directive = self._blocks[-1].directive
            raise TemplateSyntaxError(
                'block_open', directive.line, name=directive.tagname)
        return stream

    def _open(self, command, text, stream, line):
        class_ = self.get_directive(command)
        if class_ is None:
            raise _unknown_directive(command, line)
        if len(self._blocks) >= _MAX_BLOCKS:
            raise LimitError('block_depth', line)
        value = _COMMAND.match(text[2:-2].strip())[2]
        self._blocks.append(_Block(class_(value, self, line), stream))

    def _close(self, stream, line):
        if not self._blocks:
            raise TemplateSyntaxError('end', line)
        directive, outer = self._blocks.pop()
        position = None, line, 0
        outer.append((
                SUB, ([(0, directive, None, None, position)], stream),
                position))
        return outer

    def _interpolate(self, text, line):
        """Yield the events of a text without directives."""
        text, last = self._escape_re.sub(_escaped, text), ' '
        try:
            for is_expression, chunk in lex(text, (None, line, 0), None):
                if is_expression:
                    chunk, rest = _reference(chunk)
                    expression = self.expression(
                        chunk.replace(_HIDDEN, ''), line, _Interpolation)
                    expression.stands_alone = last not in '["'
                    yield EXPR, expression, (None, line, 0)
                    line += _count_lines(chunk)
                    chunk = rest
                line += _count_lines(chunk)
                chunk = chunk.replace(_HIDDEN, '')
                last = chunk[-1:] or ' '
                if chunk:
                    yield TEXT, chunk, (None, line, 0)
        except GenshiError:
            raise TemplateSyntaxError(
                'directive_open', line, name='${') from None


# A line end that the template hides with a backslash: it is not written, but
# it counts as a line.
_HIDDEN = '\ufdef'
_REFERENCE = re.compile(r'[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*', re.ASCII)
_NAME = re.compile(r'[A-Za-z_][\w.]*', re.ASCII)


def _escaped(match):
    return next(filter(None, match.groups()), _HIDDEN)


def _reference(chunk):
    """Return the name that a "$" reads, and what follows it."""
    if _NAME.fullmatch(chunk):
        end = _REFERENCE.match(chunk).end()
        return chunk[:end], chunk[end:]
    return chunk, ''


def _count_lines(text):
    return text.count('\n') + text.count(_HIDDEN)


def _split(source):
    """Yield the command of each directive, '' for comments and None for the
    text between, with their texts."""
    start, line = 0, 1
    for found in iter(lambda: _OPENING.search(source, start), None):
        yield None, source[start:found.start()]
        line += source.count('\n', start, found.start())
        opening = found[0]
        end = source.find(opening[1] + '}', found.end()) + 2
        if end < 2:
            raise TemplateSyntaxError('directive_open', line, name=opening)
        start, text = end, source[found.start():end]
        yield _command(text, line), text
        line += text.count('\n')
    yield None, source[start:]


def _command(text, line):
    if text[1] == '#':
        return ''
    if len(text) > MAX_EXPRESSION:
        raise LimitError('limit_expression', line)
    found = _COMMAND.match(text[2:-2].strip())
    if not found:
        raise TemplateSyntaxError('directive_empty', line)
    return found[1]


def _unknown_directive(name, line):
    if name in {'python', 'include', 'def', 'import'}:
        return ForbiddenError('directive_forbidden', line, name=name)
    return TemplateSyntaxError('directive_unknown', line, name=name)


def compile(source, names=None):
    """Return the `Template` that a text is.

    :param str source: the text
    :param names: all variables there are, when known
    :raises TemplateError: with the line
    """
    if len(source) > LIMITS.source:
        raise LimitError('limit_source', 1)
    template = Template(RESERVED.sub('', source))
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
    state = _State(variables, limits)
    write = state.written.append
    try:
        for _, text, _ in template._flatten(template._stream, state):
            write(text)
        text = ''.join(state.written)
        if state.room < 0 or len(text) > limits.output:
            raise LimitError('limit_output')
    except TemplateError as error:
        error.line = error.line or state.line
        raise
    except EVALUATION_ERRORS as error:
        raise EvaluationError(
            'evaluation', state.line,
            detail=str(error) or type(error).__name__) from None
    return Text(text, state.made)
