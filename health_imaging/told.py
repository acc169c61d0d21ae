# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Texts that the software itself writes: kept as codes with parameters, read
in the language of who reads them.  What persons wrote stays as it is."""
import datetime as dt
import json
from xmlrpc.client import Marshaller

from sql import Values, With
from sql.conditionals import Coalesce
from sql.operators import Like

from trytond.i18n import gettext
from trytond.model import fields
from trytond.pool import Pool
from trytond.protocols.jsonrpc import JSONDecoder, JSONEncoder

from .institution import local_text
from .tables import execute

# Kept is a JSON list of texts and of pairs of code and parameters.
_MARK = '['


class Sentence(str):
    """A text in the language of the user, with what is kept of it.

    :ivar list kept: code and parameters
    """

    def __new__(cls, code, parameters):
        kept = [code, {
                name: _kept(value) for name, value in parameters.items()}]
        sentence = super().__new__(cls, _line(kept))
        sentence.kept = kept
        return sentence


# Errors and summaries go to scripts too, which use XML-RPC.
Marshaller.dispatch[Sentence] = Marshaller.dispatch[str]


def _kept(value):
    if isinstance(value, (list, tuple)):
        return [_kept(part) for part in value]
    return getattr(value, 'kept', value)


def tell(message, **parameters):
    """Return a Sentence, as gettext does.

    :param str message: id with its module
    :param parameters: what it names: str, int, datetime.datetime (UTC), or
        other Sentences
    """
    return Sentence(message, parameters)


def join(between, parts):
    """Return a Sentence of parts, as str.join does.

    :param str between: what stands between them
    :param parts: list of str and Sentences
    """
    return Sentence('', {'between': between, 'parts': parts})


def label(record, name):
    """Return a Sentence with the label and the value of a field.

    :param record: of a model
    :param str name: of the field
    """
    value = getattr(record, name)
    return Sentence(f'{record.__name__},{name}', {
            'value': getattr(value, 'rec_name', value)})


def _line(kept):
    """Return the text of what is kept, in the language of the user."""
    if not isinstance(kept, list):
        return local_text(kept) if isinstance(kept, dt.datetime) else kept
    code, parameters = kept
    if not code:
        return parameters['between'].join(map(_line, parameters['parts']))
    model, _, name = code.partition(',')
    if name:
        field = Pool().get(model).__names__(name)['field']
        return f'{field}: {parameters["value"]}'
    return gettext(code, **{
            name: _line(value) for name, value in parameters.items()})


def stored(value):
    """Return how a text is stored.

    :param value: str, a Sentence among them, a list of such lines, or None
    """
    if isinstance(value, str) and (
            isinstance(value, Sentence) or value.startswith(_MARK)):
        value = [value]
    if not isinstance(value, (list, tuple)):
        return value
    return json.dumps(
        _kept(value), cls=JSONEncoder, ensure_ascii=False, sort_keys=True,
        ) if value else None


def shown(value):
    """Return the text of what is stored, in the language of the user.

    :param value: str or None; what was stored before there were codes stays
    """
    if not value or not value.startswith(_MARK):
        return value
    try:
        return '\n'.join(
            map(_line, json.loads(value, object_hook=JSONDecoder())))
    except (
            AttributeError, KeyError, RecursionError, TypeError, ValueError):
        return value


class Told(fields.Text):
    """A text that is stored as above, and searched as it is read.

    A value is a str, a Sentence, or a list of such lines."""

    def sql_format(self, value):
        """Return what is stored of a value."""
        return super().sql_format(stored(value))

    def get(self, ids, model, name, values=None):
        """Return the texts by id.

        :param model: their class
        :param str name: name of the field
        :param values: rows of the records
        """
        return {row['id']: shown(row[name]) for row in values or []}

    def convert_domain(self, domain, tables, Model):
        """Return the condition of a clause: codes are compared by the texts
        that the user reads, each of them once."""
        table, _ = tables[None]
        prose = super().convert_domain(domain, tables, Model)
        column, own = self.sql_column(table), Model.__table__()
        of_software = Like(self.sql_column(own), f'{_MARK}%')
        kept = [text for text, in execute(own.select(
                    self.sql_column(own), where=of_software,
                    group_by=self.sql_column(own)))]
        if not kept:
            return prose
        rows = With('kept', self.name, query=Values(
                [[text, shown(text)] for text in kept]))
        fitting = rows.select(rows.kept, with_=[rows], where=(
                super().convert_domain(domain, {None: (rows, None)}, Model)))
        is_prose = ~Like(Coalesce(column, ''), f'{_MARK}%')
        return (is_prose & prose) | column.in_(fitting)
