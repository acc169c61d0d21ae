# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The way from the record of a server to a client that has its password; no
methods, which the templates of reports and messages could call."""
from contextlib import contextmanager

from trytond.modules.health_imaging.tables import execute
from trytond.modules.health_imaging.told import tell

from . import password
from .archive import orthanc
from .archive.connections import Connections
from .exceptions import SecretKeyError

#: What stays open from one click of a user to the next.
connections = Connections()
# How much longer a whole answer may take than a silence in it.
_PATIENCE = 5


@contextmanager
def secret_errors():
    "Turn what goes wrong with the key of the passwords into a UserError."
    try:
        yield
    except password.SecretError as error:
        raise SecretKeyError(tell(
                f'health_orthanc.msg_secret_{error.reason}')) from None


def stored_passwords(servers):
    "Return what is stored of the passwords of servers, records, by id."
    table = servers[0].__table__()
    return dict(execute(table.select(table.id, table.password,
                where=table.id.in_([s.id for s in servers]))))


def connect(server):
    """Return an OrthancClient for a server, to be used in a with statement.

    :raises SecretKeyError: the password cannot be decrypted
    """
    with secret_errors():
        secret = password.unseal(stored_passwords([server])[server.id])
    return new_client(server, secret)


def new_client(server, secret):
    """Return an OrthancClient.

    :param server: record with domain, user, TLS options and timeouts
    :param str secret: the password
    """
    return orthanc.OrthancClient(
        server.domain, server.user, secret,
        verify=(server.ca_file or True) if server.verify_tls else False,
        connect_timeout=server.connect_timeout,
        read_timeout=server.read_timeout,
        total_timeout=server.read_timeout * _PATIENCE,
        kept=connections)
