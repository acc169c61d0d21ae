# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Expressions of worklist templates: Python is parsed, each node is looked up
in a list of what is allowed, and what is found there does the work. No code
is compiled and no attribute is fetched, so there is nothing to break out of.
"""
import ast

from .functions import (
    BINARY, COMPARE, FUNCTIONS, UNARY, attribute, comparable, item, kind,
    method, sequence)
from .reasons import (
    KINDS, REASONS, EvaluationError, ForbiddenError, LimitError, TemplateError,
    TemplateSyntaxError)
from .values import (
    NUMBERS, RESERVED, Items, Pair, State, is_special, items, mark,
    mark_written, number)

__all__ = ['FUNCTIONS', 'KINDS', 'REASONS', 'Expression', 'MAX_EXPRESSION']

MAX_EXPRESSION = 4_000
_MAX_DEPTH = 60


def parse(source, mode, line):
    """Return the body that Python has of an expression (mode ``eval``) or of
    assignments (``exec``)."""
    source = source.strip()
    if len(source) > MAX_EXPRESSION:
        raise LimitError('limit_expression', line)
    try:
        return ast.parse(source, mode=mode).body
    except SyntaxError as error:
        line += (error.lineno or 1) - 1
    except (ValueError, RecursionError, MemoryError, SystemError):
        pass
    raise TemplateSyntaxError('syntax', line, name=source)


def target(node, line):
    """Return the name, or the tuple of these, that a value is set to."""
    if isinstance(node, ast.Name):
        if node.id.startswith('_'):
            raise ForbiddenError('forbidden_name', line, name=node.id)
        return node.id
    if isinstance(node, (ast.Tuple, ast.List)):
        return tuple(target(part, line) for part in node.elts)
    raise ForbiddenError('forbidden_construct', line, name=_excerpt(node))


def target_names(target_):
    """Return the set of names in what `target` returned."""
    if isinstance(target_, str):
        return {target_}
    return set().union(*map(target_names, target_))


def assign(names, target_, value):
    """Set a target in a dictionary of names to a value or a `Pair`."""
    if isinstance(target_, str):
        names[target_] = value
        return
    pair = value if type(value) is Pair else Pair(value, value)
    plain, marked = (tuple(sequence(part)) for part in pair)
    if not len(plain) == len(marked) == len(target_):
        raise ValueError(
            f'{len(plain)} values cannot be set to {len(target_)} names')
    for part, values in zip(target_, map(Pair, plain, marked)):
        assign(names, part, values)


class Expression:
    """An expression that `genshi` can evaluate.

    :param node: the ast, or the text of an expression
    :param int line: the line of the template where it begins
    :param bound: the names that the template has set there
    """
    __slots__ = ('run', 'line', 'names')

    def __init__(self, node, line, bound=()):
        if isinstance(node, str):
            node = parse(node, 'eval', line)
        builder = _Builder(line, bound)
        try:
            self.run = builder.build(node)
        except TemplateError as error:
            error.line = error.line or line
            raise
        self.line = line
        #: The variables that must be there.
        self.names = builder.names - builder.guarded

    def evaluate(self, state):
        """Return the value, for a `values.State`."""
        state.line = self.line
        state.tick()
        return self.run(state)

    def pair(self, state):
        """Return the value and the same with separators marked."""
        plain = Expression.evaluate(self, state)
        marked = state.marked(self.run, plain)
        return Pair(plain, mark(plain) if marked is None else marked)


class _Builder:
    """Makes functions of a `State` from the nodes of one expression."""

    def __init__(self, line, bound):
        self.line = line
        self.bound = [*bound]
        self.depth = 0
        self.names = set()
        self.guarded = set()

    def build(self, node):
        make = getattr(self, f'_build_{type(node).__name__}', None)
        if make is None:
            self._refuse('forbidden_construct', name=_excerpt(node))
        self.depth += 1
        if self.depth > _MAX_DEPTH:
            raise LimitError('limit_depth', self.line)
        evaluate = make(node)
        self.depth -= 1
        return evaluate

    def _refuse(self, code, **values):
        raise ForbiddenError(code, self.line, **values)

    def _check_name(self, name):
        if name.startswith('_'):
            self._refuse('forbidden_name', name=name)

    def _build_Constant(self, node):
        value = node.value
        if isinstance(value, str):
            value = RESERVED.sub('', value)
            written = mark_written(value)
            if written != value:
                return lambda state: written if state.marking else value
        elif isinstance(value, (int, float)):
            value = number(value)
        elif value is not None:
            self._refuse('forbidden_construct', name=_excerpt(node))
        return lambda state: value

    def _build_Name(self, node):
        name = node.id
        self._check_name(name)
        if name in self.bound:
            return lambda state: state.look_up(name)
        if name in FUNCTIONS:
            self._refuse('forbidden_construct', name=name)
        self.names.add(name)

        def evaluate(state):
            try:
                return state.known[name]
            except KeyError:
                return state.fetch(name)
        return evaluate

    def _build_Attribute(self, node):
        name = node.attr
        self._check_name(name)
        value = self.build(node.value)
        return lambda state: attribute(state, value(state), name)

    def _build_Subscript(self, node):
        value = self.build(node.value)
        if not isinstance(node.slice, ast.Slice):
            key = self.build(node.slice)
            return lambda state: item(state, value(state), key(state))
        parts = [
            part and self.build(part) for part in (
                node.slice.lower, node.slice.upper, node.slice.step)]

        def evaluate(state):
            whole = value(state)
            if not isinstance(whole, (str, Items)):
                raise EvaluationError('not_list', kind=kind(whole))
            return state.count(
                whole[slice(*(part and part(state) for part in parts))])
        return evaluate

    def _build_Call(self, node):
        args = [self.build(arg) for arg in node.args]
        kwargs = {}
        for keyword in node.keywords:
            if not keyword.arg or keyword.arg.startswith('_'):
                self._refuse('forbidden_construct', name=_excerpt(node))
            kwargs[keyword.arg] = self.build(keyword.value)
        function, first = self._build_called(node)

        def evaluate(state):
            state.tick()
            owner = [part(state) for part in first]
            return function(*owner)(
                state, *owner, *[arg(state) for arg in args],
                **{key: arg(state) for key, arg in kwargs.items()})
        return evaluate

    def _build_called(self, node):
        """Return a function that returns what is called, and a list of what
        gives its arguments, which are the first of the call."""
        if isinstance(node.func, ast.Attribute):
            name = node.func.attr
            self._check_name(name)
            if name in {'format', 'format_map'}:
                self._refuse('forbidden_format', name=name)
            return (
                lambda owner: method(owner, name)), [
                self.build(node.func.value)]
        name = node.func.id if isinstance(node.func, ast.Name) else None
        if name not in FUNCTIONS:
            self._refuse('forbidden_function', name=_excerpt(node.func))
        if name in {'defined', 'value_of'}:
            self.guarded.update(
                arg.value for arg in node.args[:1]
                if isinstance(arg, ast.Constant))
        return (lambda: FUNCTIONS[name]), []

    def _build_BinOp(self, node):
        operate = BINARY.get(type(node.op))
        if operate is None:
            self._refuse('forbidden_construct', name=_excerpt(node))
        left, right = self.build(node.left), self.build(node.right)

        def evaluate(state):
            value = operate(state, left(state), right(state))
            return number(value) if isinstance(value, NUMBERS) else value
        return evaluate

    def _build_UnaryOp(self, node):
        operate = UNARY.get(type(node.op))
        if operate is None:
            self._refuse('forbidden_construct', name=_excerpt(node))
        value = self.build(node.operand)
        return lambda state: operate(value(state))

    def _build_BoolOp(self, node):
        values = [self.build(value) for value in node.values]
        stop = isinstance(node.op, ast.Or)

        def evaluate(state):
            for value in values:
                result = value(state)
                if bool(result) is stop:
                    break
            return result
        return evaluate

    def _build_Compare(self, node):
        first = self.build(node.left)
        rest = [
            (COMPARE[type(op)], self.build(value))
            for op, value in zip(node.ops, node.comparators)]

        def evaluate(state):
            state.tick()
            left = comparable(first(state))
            for compare, value in rest:
                right = comparable(value(state))
                if not compare(left, right):
                    return False
                left = right
            return True
        return evaluate

    def _build_IfExp(self, node):
        test, body, orelse = map(
            self.build, (node.test, node.body, node.orelse))
        return lambda state: (body if test(state) else orelse)(state)

    def _build_Tuple(self, node):
        values = [self.build(value) for value in node.elts]
        if node.elts and all(
                isinstance(value, ast.Constant) for value in node.elts):
            plain = items(value(State({})) for value in values)
            if not is_special(plain):
                return lambda state: plain
        return lambda state: state.collect(value(state) for value in values)

    _build_List = _build_Tuple

    def _build_Dict(self, node):
        if None in node.keys:
            self._refuse('forbidden_construct', name=_excerpt(node))
        pairs = [
            (self.build(key), self.build(value))
            for key, value in zip(node.keys, node.values)]
        return lambda state: state.collect_map(
            (key(state), value(state)) for key, value in pairs)

    def _build_ListComp(self, node):
        bound = len(self.bound)
        loops = [self._build_loop(g) for g in node.generators]
        element = self.build(node.elt)
        del self.bound[bound:]

        def evaluate(state):
            frame = {}
            state.push(frame)
            try:
                return state.collect(_run(state, frame, loops, element))
            finally:
                state.pop()
        return evaluate

    _build_GeneratorExp = _build_ListComp

    def _build_loop(self, generator):
        if generator.is_async:
            self._refuse('forbidden_construct', name='async')
        values = self.build(generator.iter)
        names = target(generator.target, self.line)
        self.bound.extend(target_names(names))
        return names, values, [self.build(test) for test in generator.ifs]


def _run(state, frame, loops, element):
    """Yield the elements of a comprehension."""
    if not loops:
        yield element(state)
        return
    (names, values, conditions), *inner = loops
    for value in sequence(values(state)):
        state.tick()
        assign(frame, names, value)
        if all(condition(state) for condition in conditions):
            yield from _run(state, frame, inner, element)


def _excerpt(node):
    try:
        text = ast.unparse(node)
    except (ValueError, RecursionError):
        return type(node).__name__
    return text if len(text) <= 60 else text[:57] + '...'
