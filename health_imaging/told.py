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
from trytond.tools import grouped_slice
from trytond.transaction import Transaction

from .institution import local_text
from .tables import ROWS, execute

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


def _line(kept, say=gettext):
    """Return the text of what is kept, in the language of the user.

    :param say: function of a code and its parameters
    """
    if not isinstance(kept, list):
        return local_text(kept) if isinstance(kept, dt.datetime) else kept
    code, parameters = kept
    if not code:
        return parameters['between'].join(
            _line(part, say) for part in parameters['parts'])
    model, _, name = code.partition(',')
    if name:
        return _labelled(Pool().get(model), name, parameters['value'])
    return say(code, **{
            name: _line(value, say) for name, value in parameters.items()})


def _labelled(Model, name, value):
    """Return label and value of a field, in the language of the user."""
    field = Model._fields[name]
    if isinstance(field, fields.Selection):
        value = field.get_selection_string(
            field.get_selection(Model, name, None), value)
    return f'{Model.__names__(name)["field"]}: {value}'


def _known(code, **parameters):
    """Return a message as gettext does, which returns the code in the place
    of one that it does not know, without the parameters.

    :raises KeyError, ValueError: it is not known, or names other parameters
    """
    module, message = code.split('.')
    return Pool().get('ir.message').gettext(
        module, message, Transaction().language, **parameters)


def stored(value):
    """Return how a text is stored.

    :param value: str, a Sentence among them, a list of such lines, or None
    """
    if isinstance(value, str) and (
            isinstance(value, Sentence) or value.startswith(_MARK)):
        value = [value]
    if not isinstance(value, (list, tuple)):
        return value
    if not all(isinstance(line, str) for line in value):
        # What a client sent is a text.
        return stored(str(value))
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
            _line(line, _known)
            for line in json.loads(value, object_hook=JSONDecoder()))
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

    def sortable(self, model):
        """Return False: it would be sorted by codes."""
        return False

    def convert_domain(self, domain, tables, Model):
        """Return the condition of a clause: codes are compared by the texts
        that the user reads, each of them once."""
        table, _ = tables[None]
        column, own = self.sql_column(table), Model.__table__()
        kept = [text for text, in execute(own.select(
                    self.sql_column(own), group_by=self.sql_column(own),
                    where=Like(self.sql_column(own), f'{_MARK}%')))]
        # Its values are not stored, but compared as they are read.
        text = fields.Text(self.string)
        text.name = self.name
        fitting = []
        for sub in grouped_slice(kept, ROWS):
            rows = With('kept', self.name, query=Values(
                    [[one, shown(one)] for one in sub]))
            fitting += [one for one, in execute(rows.select(
                        rows.kept, with_=[rows], where=text.convert_domain(
                            domain, {None: (rows, None)}, Model)))]
        found = ~Like(Coalesce(column, ''), f'{_MARK}%') & (
            text.convert_domain(domain, tables, Model))
        return found | column.in_(fitting) if fitting else found
