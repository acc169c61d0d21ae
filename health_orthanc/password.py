# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""How the passwords of servers are kept: encrypted when keys are set."""
try:
    from cryptography.fernet import Fernet, InvalidToken, MultiFernet
except ImportError:
    Fernet = None

from trytond.config import config

PREFIX = 'fernet:'


class SecretError(Exception):
    """A password cannot be encrypted or decrypted."""


def _fernet():
    """Return the keys of the configuration, the newest first, or None.

    ``[health_orthanc] fernet_key`` holds one key or several, with blanks
    between them. The first encrypts, all decrypt.
    """
    keys = config.get('health_orthanc', 'fernet_key', default='').split()
    if not keys:
        return None
    if Fernet is None:
        raise SecretError("the package cryptography is not installed")
    try:
        return MultiFernet([Fernet(key) for key in keys])
    except ValueError:
        raise SecretError("fernet_key is not a valid key") from None


def seal(text):
    """Return a password as it is stored.

    :param str text: the password
    :raises SecretError: when the configured key cannot be used
    """
    fernet = _fernet()
    if not fernet or not text:
        return text
    return PREFIX + fernet.encrypt(text.encode()).decode()


def unseal(stored):
    """Return the password of what is stored.

    :raises SecretError: when no configured key opens it
    """
    if not stored or not stored.startswith(PREFIX):
        return stored
    fernet = _fernet()
    if not fernet:
        raise SecretError("fernet_key is not set")
    try:
        return fernet.decrypt(stored[len(PREFIX):].encode()).decode()
    except InvalidToken:
        raise SecretError("no configured fernet_key fits") from None
