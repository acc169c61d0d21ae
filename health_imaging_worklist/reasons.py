# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What can be wrong with a worklist template: the errors.  They carry codes,
whose sentences are in ``message.xml``."""


class TemplateError(Exception):
    """A template, or what it does with its values, is wrong.

    :param str code: what is wrong, ``msg_template_<code>``
    :param int line: from 1, None when it is not known
    :param values: what the sentence names; ``kind``, ``left`` and ``right``
        are codes as well, ``msg_kind_<code>``
    """
    #: The beginning of the names of the messages.
    message = 'msg_template'
    attribute = None

    def __init__(self, code, line=None, **values):
        super().__init__(code, line, values)
        self.code = code
        self.line = line
        self.values = values

    def __str__(self):
        return f"Line {self.line}: {self.code} {self.values}"


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
