# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Notices to users: a notification of their client, and an e-mail where the
hospital wants it. Neither names a patient or says what was found."""
import logging
from collections import defaultdict
from email.mime.text import MIMEText

from trytond import bus
from trytond.config import config
from trytond.i18n import gettext
from trytond.model import fields
from trytond.pool import Pool, PoolMeta
from trytond.sendmail import get_smtp_server, sendmail
from trytond.transaction import Transaction, without_check_access

from .rights import groups_of
from .tables import execute

# Limits of a notice, in characters, and of the e-mail server, in seconds.
_LONGEST = 300
_SECONDS = 10
#: What clients show until it is closed.
URGENT = 3

logger = logging.getLogger(__name__)


class User(metaclass=PoolMeta):
    __name__ = 'res.user'

    imaging_mute_urgent = fields.Boolean("Mute Urgent Requests",
        help="Show no notice when an urgent request is sent.")
    imaging_mute_reports = fields.Boolean("Mute Reports",
        help="Show no notice when a report that you requested is signed.")

    @classmethod
    def __setup__(cls):
        super().__setup__()
        cls._preferences_fields += [
            'imaging_mute_urgent', 'imaging_mute_reports']

    @classmethod
    def mail_imaging(cls, users, title, text):
        """Send an e-mail to users; a task of the queue."""
        for user in users:
            send(user, title, text)


def show(user, title, text, priority=1):
    """Show a notification in the clients of a user, once the transaction is
    committed.

    :param int priority: 0 to 3
    """
    bus.notify(title, text[:_LONGEST], priority=priority, user=user.id)


def sends_mail(name):
    """Return whether the hospital wants e-mails of a kind.

    :param str name: field of gnuhealth.imaging.configuration
    """
    Configuration = Pool().get('gnuhealth.imaging.configuration')
    return bool(config.get('email', 'from')
        and getattr(Configuration(1), name))


def send(user, title, text):
    """Send an e-mail to a user now.

    :param str title: the subject
    :return: whether the server took it
    """
    message = MIMEText(text, _charset='utf-8')
    message['From'] = sender = config.get('email', 'from')
    message['To'] = user.email
    message['Subject'] = title
    uri = config.get('email', 'uri')
    if 'timeout=' not in uri:
        uri += f"{'&' if '?' in uri else '?'}timeout={_SECONDS}"
    try:
        server = get_smtp_server(uri, strict=True)
        try:
            sendmail(sender, [user.email], message, server, strict=True)
        finally:
            server.close()
    except Exception as error:
        # Whatever it is, what the e-mail is about stays.
        logger.error("No e-mail to %s: %s", user.login, error)
        return False
    return True


def language_of(user):
    """Return a context manager that speaks the language of a user."""
    return Transaction().set_context(
        language=user.language.code if user.language else None)


@without_check_access
def note_urgent(requests):
    """Tell the members of Health Imaging of urgent requests that were sent."""
    urgent = [r for r in requests if r.urgent]
    if urgent:
        orders = ', '.join(dict.fromkeys(r.request for r in urgent))
        _tell(_members(), 'imaging_mute_urgent',
            'health_imaging.msg_notice_urgent', orders)


@without_check_access
def note_signed(results):
    """Tell the doctors who requested exams that their reports are signed."""
    found = defaultdict(list)
    for result in results:
        message = 'amended' if result.revision else 'final'
        for doctor in dict.fromkeys(r.doctor for r in result.requests):
            found[doctor, message].append(result.number)
    for (doctor, message), numbers in found.items():
        _tell(users_of([doctor]), 'imaging_mute_reports',
            f'health_imaging.msg_notice_{message}', ', '.join(numbers))


def users_of(professionals):
    """Return the active users of health professionals, list of records."""
    users = [p.party.internal_user for p in professionals]
    return [u for u in users if u and u.active]


def _members():
    """Return the users who are in Health Imaging."""
    pool = Pool()
    (group,), _ = groups_of('health_imaging.group_health_imaging')
    member = pool.get('res.user-res.group').user_group_all_table()
    ids = {user for user, in execute(
            member.select(member.user, where=member.group == group.id))}
    return pool.get('res.user').search([('id', 'in', list(ids))])


def _tell(users, mute, message, text):
    """Tell users, except who does it and those with a field that mutes it."""
    User = Pool().get('res.user')
    mails = sends_mail('mail_notices')
    for user in users:
        if user.id == Transaction().user or getattr(user, mute):
            continue
        with language_of(user):
            title = gettext(message)
        show(user, title, text)
        if mails and user.email:
            User.__queue__.mail_imaging([user], title, text[:_LONGEST])
