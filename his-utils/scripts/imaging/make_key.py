#!/usr/bin/env python3
# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Print a new key that encrypts the passwords of Orthanc servers in the
database, as lines for the configuration of trytond."""
import argparse
import base64
import secrets

EPILOG = """\
In a configuration that has a key already, write the new one before it in the
same line, with a blank between: it encrypts from then on, and the former one
still decrypts.  Keep a copy of the key elsewhere than the backups of the
database: without it the passwords are lost, beside them it protects nothing.
"""


def make_key():
    "Return a new key as Fernet takes it, str."
    return base64.urlsafe_b64encode(secrets.token_bytes(32)).decode()


def main(arguments=None):
    "Print the lines."
    argparse.ArgumentParser(description=__doc__, epilog=EPILOG).parse_args(
        arguments)
    print(f"\n[health_orthanc]\nfernet_key = {make_key()}")


if __name__ == '__main__':
    main()
