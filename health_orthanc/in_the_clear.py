# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Passwords and images that go through a network without TLS."""
import ipaddress
import socket
from urllib.parse import urlsplit

from trytond.i18n import gettext
from trytond.pool import Pool
from trytond.transaction import Transaction, without_check_access

from .exceptions import InTheClearWarning

#: The fields of a server with an address that a password, or what stands for
#: one, is sent to.
ADDRESSES = ['domain', 'proxy_domain', 'viewer_address']


def is_in_the_clear(url):
    "Return whether others can read what is sent to a URL in its one form."
    parts = urlsplit(url)
    return parts.scheme == 'http' and not _is_here(parts.hostname)


def _is_here(host):
    "Whether a host is this computer, as far as can be told without asking."
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host in {'localhost', socket.gethostname().lower()}


def warn(urls):
    """Ask to confirm each address that is in the clear.

    :param urls: addresses in their one form
    :raises InTheClearWarning: one was not confirmed yet
    """
    Warning = Pool().get('res.user.warning')
    for url in sorted(urls):
        key = f'{url}.in_the_clear'
        # Nobody has rights on what he confirmed.
        with without_check_access():
            asks = is_in_the_clear(url) and Warning.check(key)
        if asks:
            raise InTheClearWarning(
                key, gettext('health_orthanc.msg_in_the_clear', url=url))


def warn_user(urls):
    """Do so when it is a person who acts, see warn."""
    if Transaction().check_access:
        warn(urls)
