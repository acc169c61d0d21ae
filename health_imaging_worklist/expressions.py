# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Expressions of worklist templates: Python is parsed, each node is looked up
in a list of what is allowed, and what is found there does the work. No code
is compiled and no attribute is fetched, so there is nothing to break out of.
"""
import ast
from functools import partial

from .functions import (
    BINARY, COMPARE, FUNCTIONS, UNARY, attribute, call, comparable, item,
    sequence)
from .reasons import ForbiddenError, LimitError, TemplateSyntaxError
from .values import (
    RESERVED, Pair, each_text, items, mapping, mark, mark_written, number)

MAX_EXPRESSION = 4_000
_MAX_DEPTH = 60


def parse(source, mode, line):
    """Return the body that Python has of an expression (mode ``eval``) or of
    assignments (``exec``).

    :raises TemplateError: it has none
    """
    source = source.strip()
    if len(source) > MAX_EXPRESSION:
        raise LimitError('limit_expression')
    try:
        return ast.parse(source, mode=mode).body
    except SyntaxError as error:
        line += (error.lineno or 1) - 1
    except (ValueError, RecursionError, MemoryError, SystemError):
        pass
    raise TemplateSyntaxError('syntax', line, name=source)


def target_names(node):
    """Return the set of the names that a target, an ast, is made of.

    :raises ForbiddenError: it is no name, and no names in brackets
    """
    if isinstance(node, ast.Name):
        return {_name(node.id)}
    if isinstance(node, (ast.Tuple, ast.List)):
        return set().union(*map(target_names, node.elts))
    raise _forbidden(node)


def assign(frame, target, value):
    """Set the names of a target, an ast, to a value or a `Pair`."""
    if isinstance(target, ast.Name):
        frame[target.id] = value
        return
    pair = value if type(value) is Pair else Pair(value, value)
    plain, marked = (tuple(sequence(part)) for part in pair)
    if not len(plain) == len(marked) == len(target.elts):
        raise ValueError(
            f'{len(plain)} values cannot be set to {len(target.elts)} names')
    for part, value in zip(target.elts, map(Pair, plain, marked)):
        assign(frame, part, value)


class Expression:
    """An expression that can be evaluated; ``names`` are the variables that
    must be there.

    :param node: the ast, or the text of an expression
    :param int line: the line of the template where it begins
    :param set bound: the names that the template has set there
    """
    __slots__ = ('run', 'line', 'names')

    def __init__(self, node, line, bound=frozenset()):
        if isinstance(node, str):
            node = parse(node, 'eval', line)
        builder = _Builder(bound)
        self.run = builder.visit(node)
        self.line = line
        self.names = builder.names - builder.guarded

    def evaluate(self, state):
        """Return the value, for a `values.State`."""
        state.line = self.line
        state.tick()
        return self.run(state)

    def pair(self, state):
        """Return the value and the same with separators marked."""
        plain = self.evaluate(state)
        marked = state.marked(self.run, plain)
        return Pair(
            plain, each_text(mark, plain) if marked is None else marked)


class _Builder(ast.NodeVisitor):
    """Makes functions of a `values.State` from the nodes of an expression."""

    def __init__(self, bound):
        self.bound = bound
        self.depth = 0
        self.names = set()
        self.guarded = set()

    def visit(self, node):
        self.depth += 1
        if self.depth > _MAX_DEPTH:
            raise LimitError('limit_depth')
        run = super().visit(node)
        self.depth -= 1
        return run

    def generic_visit(self, node):
        raise _forbidden(node)

    def visit_Constant(self, node):
        value = node.value
        if isinstance(value, str):
            value = RESERVED.sub('', value)
            written = mark_written(value)
            if written != value:
                return lambda state: written if state.marking else value
        elif isinstance(value, (int, float)):
            value = number(value)
        elif value is not None:
            raise _forbidden(node)
        return lambda state: value

    def visit_Name(self, node):
        name = _name(node.id)
        if name in self.bound:
            return lambda state: state.look_up(name)
        if name in FUNCTIONS:
            raise _forbidden(node)
        self.names.add(name)
        return lambda state: state.fetch(name)

    def visit_Attribute(self, node):
        name = _name(node.attr)
        value = self.visit(node.value)
        return lambda state: attribute(state, value(state), name)

    def visit_Subscript(self, node):
        value, key = self.visit(node.value), self.visit(node.slice)
        return lambda state: state.count(
            item(state, value(state), key(state)))

    def visit_Slice(self, node):
        parts = [
            self.visit(part or ast.Constant(None))
            for part in (node.lower, node.upper, node.step)]
        return lambda state: slice(*(part(state) for part in parts))

    def visit_Call(self, node):
        function, first = self._called(node)
        args = [*first, *map(self.visit, node.args)]
        kwargs = {}
        for keyword in node.keywords:
            if not keyword.arg or keyword.arg.startswith('_'):
                raise _forbidden(node)
            kwargs[keyword.arg] = self.visit(keyword.value)

        def evaluate(state):
            state.tick()
            return state.count(function(
                *(arg(state) for arg in args),
                **{key: arg(state) for key, arg in kwargs.items()}))
        return evaluate

    def _called(self, node):
        """Return the function of a call, and what its arguments begin with."""
        if isinstance(node.func, ast.Attribute):
            name = _name(node.func.attr)
            if name in {'format', 'format_map'}:
                raise ForbiddenError('forbidden_format', name=name)
            return partial(call, name), [self.visit(node.func.value)]
        name = node.func.id if isinstance(node.func, ast.Name) else None
        if name not in FUNCTIONS:
            raise _forbidden(node.func, 'forbidden_function')
        if name not in {'defined', 'value_of'}:
            return FUNCTIONS[name], []
        self.guarded.update(
            arg.value for arg in node.args[:1]
            if isinstance(arg, ast.Constant))
        return FUNCTIONS[name], [lambda state: state]

    def visit_BinOp(self, node):
        return self._operation(node, BINARY, node.left, node.right)

    def visit_UnaryOp(self, node):
        return self._operation(node, UNARY, node.operand)

    def _operation(self, node, operators, *operands):
        operate = operators.get(type(node.op))
        if operate is None:
            raise _forbidden(node)
        parts = list(map(self.visit, operands))
        return lambda state: state.count(
            operate(*(part(state) for part in parts)))

    def visit_BoolOp(self, node):
        values = list(map(self.visit, node.values))
        stop = isinstance(node.op, ast.Or)

        def evaluate(state):
            for value in values:
                result = value(state)
                if bool(result) is stop:
                    break
            return result
        return evaluate

    def visit_Compare(self, node):
        first = self.visit(node.left)
        rest = [
            (COMPARE[type(op)], self.visit(value))
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

    def visit_IfExp(self, node):
        test, body, orelse = map(
            self.visit, (node.test, node.body, node.orelse))
        return lambda state: (body if test(state) else orelse)(state)

    def visit_Tuple(self, node):
        values = list(map(self.visit, node.elts))
        return lambda state: state.collect(
            items(value(state) for value in values))

    visit_List = visit_Tuple

    def visit_Dict(self, node):
        if None in node.keys:
            raise _forbidden(node)
        keys, values = (
            list(map(self.visit, part)) for part in (node.keys, node.values))
        return lambda state: state.collect(mapping(
            (key(state), value(state)) for key, value in zip(keys, values)))

    def visit_ListComp(self, node):
        outside = self.bound
        loops = list(map(self._loop, node.generators))
        element = self.visit(node.elt)
        self.bound = outside

        def evaluate(state):
            state.frames.append({})
            try:
                return state.collect(items(_run(state, loops, element)))
            finally:
                state.frames.pop()
        return evaluate

    visit_GeneratorExp = visit_ListComp

    def _loop(self, generator):
        if generator.is_async:
            raise ForbiddenError('forbidden_construct', name='async')
        values = self.visit(generator.iter)
        self.bound = self.bound | target_names(generator.target)
        return generator.target, values, list(
            map(self.visit, generator.ifs))


def _run(state, loops, element):
    """Yield the elements of a comprehension."""
    if not loops:
        yield element(state)
        return
    (target, values, conditions), *inner = loops
    for value in sequence(values(state)):
        state.tick()
        assign(state.frames[-1], target, value)
        if all(condition(state) for condition in conditions):
            yield from _run(state, inner, element)


def _name(name):
    if name.startswith('_'):
        raise ForbiddenError('forbidden_name', name=name)
    return name


def _forbidden(node, code='forbidden_construct'):
    try:
        text = ast.unparse(node)
    except (ValueError, RecursionError):
        text = type(node).__name__
    return ForbiddenError(
        code, name=text if len(text) <= 60 else text[:57] + '...')
