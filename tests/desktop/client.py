# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Starts Tryton's desktop client, the whole application, and does at it what
is asked for on standard input.

It is run with the Python of the system, which has GTK, on a display:
``python3 client.py -u LOGIN -s HOST:PORT tryton://HOST:PORT/DATABASE/``.  Each
line of input is the JSON of a name of a method of Hands and its arguments;
each answer is a line with what it returned, what went wrong, and all messages
and errors that the client showed meanwhile.
"""
import json
import os
import sys
import traceback

import gi

for name, version in [
        ('Gtk', '3.0'), ('Gdk', '3.0'), ('GooCanvas', '2.0')]:
    gi.require_version(name, version)

from gi.repository import GLib  # noqa: E402
from hands import Hands  # noqa: E402
from standins import listen, problems  # noqa: E402
from tryton import client  # noqa: E402
from widgets import settle  # noqa: E402


def obey(source, condition):
    "Do what the next line says."
    line = sys.stdin.readline()
    if not line:
        # The client keeps a connection open for messages of the server.
        os._exit(0)
    name, arguments = json.loads(line)
    value = error = None
    try:
        settle()
        value = getattr(Hands(), name)(*arguments)
        settle()
    except Exception:
        error = traceback.format_exc()
    print(json.dumps([value, error, problems]), file=answers, flush=True)
    problems.clear()
    return True


if __name__ == '__main__':
    # Libraries print too.
    answers = os.fdopen(os.dup(1), 'w')
    os.dup2(2, 1)
    listen()
    GLib.io_add_watch(sys.stdin.fileno(), GLib.PRIORITY_DEFAULT_IDLE,
        GLib.IO_IN | GLib.IO_HUP, obey)
    client.main()
