# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who may see which studies in a viewer now: tickets that open one, and what
they are changed into.  Only hashes of both are kept."""
import datetime as dt
import hashlib
import secrets
from urllib.parse import quote

from trytond.cache import Cache
from trytond.model import Index, ModelSQL, fields
from trytond.pool import Pool
from trytond.transaction import Transaction, check_access, without_check_access

from .links.access_log import note

#: How long a ticket waits for the browser that opens it.
TICKET = dt.timedelta(seconds=60)
#: How long studies can be seen after it.
COOKIE = dt.timedelta(hours=8)
#: How long a right that was taken away is not noticed: a viewer asks a
#: thousand times for one study. Who logs out is out at once.
FRESH = dt.timedelta(seconds=5)


def _hash(secret):
    return hashlib.sha256(secret.encode(errors='replace')).hexdigest()


class Viewing(ModelSQL):
    "Viewing"
    __name__ = 'gnuhealth.orthanc.viewing'

    user = fields.Many2One(
        'res.user', "User", required=True, ondelete='CASCADE')
    study = fields.Many2One(
        'gnuhealth.imaging_orthanc.study', "Study", required=True,
        ondelete='CASCADE')
    viewer = fields.Char("Viewer")
    address = fields.Char("Address")
    ticket = fields.Char("Ticket")
    cookie = fields.Char("Browser")
    expires = fields.DateTime("Expires", required=True)
    _opened = Cache(
        'gnuhealth.orthanc.viewing.opened', duration=FRESH, context=False)

    @classmethod
    def __setup__(cls):
        super().__setup__()
        # Nobody asks for these over RPC.
        cls.__rpc__ = {}
        table = cls.__table__()
        cls._sql_indexes.update({
                Index(table, (column, Index.Equality()))
                for column in (table.ticket, table.cookie, table.user)})

    @classmethod
    @without_check_access
    def issue(cls, studies, address, viewer):
        """Return the address that opens studies in a viewer, once and soon.

        :param studies: records of one server that the user may read
        :param str address: where the viewer shows them
        :param str viewer: its name, for the access log
        """
        ticket, now = secrets.token_urlsafe(32), dt.datetime.now()
        user = Transaction().user
        cls.delete(cls.search([('user', '=', user), ('expires', '<', now)]))
        cls.create([{
                    'user': user, 'study': study.id, 'viewer': viewer,
                    'address': address, 'ticket': _hash(ticket),
                    'expires': now + TICKET,
                    } for study in studies])
        database = quote(Transaction().database.name, safe='')
        base = studies[0].orthanc_server.viewer_address
        return f'{base}/{database}/imaging/view/{ticket}'

    @classmethod
    @without_check_access
    def redeem(cls, ticket, cookie, server):
        """Change a ticket into a cookie, and keep that its user opened the
        studies.

        :param str ticket: what issue made
        :param str cookie: what the browser has already: when it is of the
            same user, it opens these studies too
        :param str server: the Viewer Address that it comes through
        :return: the cookie and the address to go to, None for no ticket
        """
        viewings = cls._living('ticket', ticket, server)
        if not viewings or len(cls._readable(viewings)) < len(viewings):
            return None
        user, now = viewings[0].user, dt.datetime.now()
        if user not in {v.user for v in cls._living('cookie', cookie, server)}:
            cookie = secrets.token_urlsafe(32)
        table, cursor = cls.__table__(), Transaction().connection.cursor()
        cursor.execute(*table.update(
                [table.ticket, table.cookie, table.expires],
                [None, _hash(cookie), now + COOKIE],
                where=table.ticket == _hash(ticket)))
        # Of two at the same time one is too late.
        if cursor.rowcount != len(viewings):
            return None
        cls._opened.clear()
        with Transaction().set_user(user.id):
            note('viewer', [v.study for v in viewings], viewings[0].viewer)
        return cookie, viewings[0].address

    @classmethod
    @without_check_access
    def opened(cls, cookie, server, fresh=False):
        """Return the PatientID (0010,0020) by StudyInstanceUID (0020,000D) of
        the studies that a cookie opens, as its user may see them now.

        :param str cookie: what redeem gave
        :param str server: the Viewer Address that it comes through
        :param bool fresh: not what was found some seconds ago
        """
        key = _hash(f'{cookie} {server}')
        found = cls._opened.get(key)
        if found is None or fresh:
            found = {
                row['study_instance_UID']: row['patient_id']
                for row in cls._readable(
                    cls._living('cookie', cookie, server))}
            cls._opened.set(key, found)
        return found

    @classmethod
    def _living(cls, name, secret, server):
        "Return the records of a secret that is not over."
        return cls.search([
                (name, '=', _hash(secret)),
                ('expires', '>', dt.datetime.now()),
                ('user.active', '=', True),
                ('study.orthanc_server.viewer_address', '=', server),
                ('study.orthanc_server.active', '=', True),
                ]) if secret and server else []

    @classmethod
    def _readable(cls, viewings):
        "Return rows of the studies of one user that he may still read."
        pool = Pool()
        ModelAccess = pool.get('ir.model.access')
        Study = pool.get('gnuhealth.imaging_orthanc.study')
        User = pool.get('res.user')
        if not viewings:
            return []
        transaction, user = Transaction(), viewings[0].user
        with transaction.set_user(user.id), transaction.set_context(
                User.get_preferences(context_only=True)):
            with check_access():
                if not ModelAccess.check(
                        Study.__name__, 'read', raise_exception=False):
                    return []
                ids = [s.id for s in Study.search([
                            ('id', 'in', [v.study.id for v in viewings])])]
        return Study.read(ids, ['study_instance_UID', 'patient_id'])

    @classmethod
    @without_check_access
    def end(cls, users):
        """End all that users have open.

        :param users: their ids
        """
        viewings = cls.search([('user', 'in', list(users))])
        if viewings:
            cls.delete(viewings)
            cls._opened.clear()


class ViewedServer:
    """Mixin of servers: how what they store is opened in viewers."""
    __slots__ = ()

    def opening(self, studies, address, code):
        """Return the action that opens studies in a viewer, and keep who
        opened them: here, or when the browser comes with its ticket.

        :param studies: records, the user may read them
        :param str address: what the viewer is at
        :param str code: of the viewer
        """
        Viewing = Pool().get('gnuhealth.orthanc.viewing')
        name = self.viewer_name(code)
        if self.is_guarded(address):
            return {'url': Viewing.issue(studies, address, name)}
        note('viewer', studies, name)
        return {'url': address}
