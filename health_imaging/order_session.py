# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""One order for each order window, however often it is sent."""
from typing import NamedTuple

from trytond.model import fields
from trytond.pool import Pool
from trytond.transaction import Transaction

from .workflow import hold


class _Window(NamedTuple):
    """The window that orders now; clients can send no such object."""
    session: int


def ordering(session):
    """Return a context manager in which new requests belong to a window.

    :param int session: id of the wizard session
    """
    return Transaction().set_context(_imaging_order=_Window(session))


class OrderedOnceMixin:
    """Mixin of requests: the window that they were ordered in."""
    __slots__ = ()

    order_session = fields.Integer("Order Window", readonly=True)

    @classmethod
    def _window_values(cls):
        """Return the values of new requests that tell their window."""
        window = Transaction().context.get('_imaging_order')
        if isinstance(window, _Window):
            return {'order_session': window.session}
        return {}


class OrderedOnce:
    """Mixin of the order wizard: a window that is sent twice makes one order.
    """

    #: Names of the states that order.
    _ordering = frozenset()

    def _execute(self, state_name):
        if state_name not in self._ordering:
            return super()._execute(state_name)
        made = self._ordered()
        if made:
            self._ordered_again(made, state_name)
            return super()._execute('open_')
        with ordering(self._session_id):
            return super()._execute(state_name)

    def _ordered(self):
        """Return the requests that this window made before.

        Who comes at the same time waits here. PostgreSQL then ends the
        transaction, because the row was written, and trytond repeats it.
        """
        pool = Pool()
        Request = pool.get('gnuhealth.imaging.test.request')
        Session = pool.get('ir.session.wizard')
        session = Session(self._session_id)
        hold([session])
        Session.write([session], {})
        # Numbers of sessions may begin anew where a database was copied.
        return Request.search([
                ('order_session', '=', session.id),
                ('create_date', '>=', session.create_date),
                ], order=[('id', 'ASC')])
