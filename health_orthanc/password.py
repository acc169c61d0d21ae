# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""How the passwords of servers are kept: encrypted when keys are set."""
try:
    from cryptography.fernet import Fernet, InvalidToken, MultiFernet
except ImportError:
    Fernet = None

from trytond.config import config

# How what is stored tells itself from a plain password.
SEALED, PLAIN = 'fernet:', 'plain:'


class SecretError(Exception):
    """A password cannot be encrypted or decrypted.

    :ivar reason: a stable code: no_package, bad_key, no_key or other_key
    """

    def __init__(self, reason):
        super().__init__(reason)
        self.reason = reason


def _fernet():
    """Return the keys of the configuration, with blanks between them, or
    None. The first encrypts, all decrypt."""
    keys = config.get('health_orthanc', 'fernet_key', default='').split()
    if not keys:
        return None
    if Fernet is None:
        raise SecretError('no_package')
    try:
        return MultiFernet([Fernet(key) for key in keys])
    except ValueError:
        raise SecretError('bad_key') from None


def seal(text):
    """Return a password as it is stored, or raise SecretError."""
    if not text:
        return text
    fernet = _fernet()
    if fernet:
        return SEALED + fernet.encrypt(text.encode()).decode()
    return PLAIN + text if text.startswith((SEALED, PLAIN)) else text


def is_plain(stored):
    "Return whether a password lies readable in what is stored."
    return bool(stored) and not stored.startswith(SEALED)


def unseal(stored):
    """Return the password of what is stored, or raise SecretError."""
    if not stored or not stored.startswith((SEALED, PLAIN)):
        return stored
    kind, _, rest = stored.partition(':')
    if kind == 'plain':
        return rest
    fernet = _fernet()
    if not fernet:
        raise SecretError('no_key')
    try:
        return fernet.decrypt(rest.encode()).decode()
    except InvalidToken:
        raise SecretError('other_key') from None
