# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What can be wrong with a worklist template: the errors, and their sentences
in English by code."""

#: The reasons of `TemplateError` by code, for `str.format`.
REASONS = {
    'block_open':
        'The "{name}" that begins here is not closed by an "end".',
    'block_depth': 'Too many directives inside each other.',
    'directive_empty': 'A directive is empty.',
    'directive_forbidden':
        'The directive "{name}" is not available in worklist templates.',
    'directive_open': '"{name}" is not closed.',
    'directive_unknown': 'There is no directive "{name}".',
    'directive_value': 'The directive "{name}" needs an expression.',
    'end': 'There is no directive that this "end" could close.',
    'evaluation': 'This cannot be calculated: {detail}.',
    'field': 'The field "{name}" of "{model}" is not open to templates.',
    'for': 'A loop is written as "for name in values".',
    'forbidden_attribute':
        '"{name}" cannot be read here: this is {kind}.',
    'forbidden_construct': '"{name}" is not available in templates.',
    'forbidden_format':
        'Use "%" to format texts: "{name}" is not available.',
    'forbidden_function': 'There is no function "{name}".',
    'forbidden_method':
        '"{name}" cannot be called here: this is {kind}.',
    'forbidden_name': '"{name}" begins with an underscore.',
    'forbidden_value':
        'This is {kind}, which cannot be written: name one of its fields.',
    'format': 'This is not a valid format.',
    'limit_depth': 'An expression is nested too deeply.',
    'limit_expression': 'An expression is too long.',
    'limit_memory': 'The template makes too much text.',
    'limit_number': 'A number is too large.',
    'limit_output': 'The text made from the template is too long.',
    'limit_rounds': 'The template goes through too many rounds.',
    'limit_seconds': 'The template takes too long.',
    'limit_source': 'The template is too long.',
    'limit_text': 'A text is too long.',
    'no_value': '"{name}" is read from something that has no value.',
    'not_comparable': 'This is {kind}, which cannot be compared.',
    'not_list': 'A list is needed here, this is {kind}.',
    'not_number': 'A number is needed here, this is {kind}.',
    'not_text': 'A text is needed here, this is {kind}.',
    'operands':
        '"{sign}" is not possible: on the left is {left}, on the right '
        '{right}.',
    'syntax': '"{name}" is not a valid expression.',
    'variable': 'There is no variable "{name}".',
    'variable_hint': 'There is no variable "{name}"; "{hint}" is one.',
    'when': '"{name}" is only possible inside a "choose".',
    'with': 'Names are set as "with name = value; name = value".',
    }


#: What values are, by what `kind` returns.
KINDS = {
    'boolean': 'a boolean',
    'date': 'a date',
    'datetime': 'a date and time',
    'dictionary': 'a dictionary',
    'list': 'a list',
    'nothing': 'nothing',
    'number': 'a number',
    'other': 'something else',
    'record': 'a record',
    'text': 'a text',
    'time': 'a time',
    'timedelta': 'a span of time',
    }
#: The values of reasons that are among `KINDS`.
OF_KINDS = frozenset({'kind', 'left', 'right'})


class TemplateError(Exception):
    """A template, or what it does with its values, is wrong.

    ``line`` counts from 1 (None when it is not known), ``reason`` is a
    sentence in English, made from ``REASONS[code]`` and ``values``.
    """

    def __init__(self, code, line=None, **values):
        super().__init__(code, line, values)
        self.code = code
        self.line = line
        self.values = values

    @property
    def reason(self):
        return REASONS[self.code].format(**self.put(KINDS.get))

    def put(self, words):
        """Return the values with words in place of the keys of `KINDS`.

        :param words: function that returns the words of a key
        """
        return {
            name: words(value) if name in OF_KINDS else value
            for name, value in self.values.items()}

    def __str__(self):
        if self.line is None:
            return self.reason
        return f"Line {self.line}: {self.reason}"


class TemplateSyntaxError(TemplateError):
    """The template cannot be read."""


class UnknownVariableError(TemplateError):
    """The template names a variable that does not exist."""


class ForbiddenError(TemplateError):
    """The template uses what templates must not use."""


class LimitError(TemplateError):
    """The template is too long, makes too much or takes too long."""


class EvaluationError(TemplateError):
    """The template cannot be applied to these values."""
