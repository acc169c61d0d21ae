# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs a program and ends it with all processes that it started.

They end when the program ends, on timeout, and when the caller is gone. This
runs as a separate program: LibreOffice is started by a launcher, and killing
the launcher does not end LibreOffice.
"""
import os
import select
import signal
import subprocess
import sys
import time

#: Exit status after a timeout, as that of timeout(1).
TOO_SLOW = 124
PAUSE = 0.05


def main(seconds, *command):
    """Run a program in its own process group, and end all of it in time.

    :param str seconds: how long it may take
    :param str command: the program and its parameters
    :return: exit status of the program, 1 when it was killed, TOO_SLOW when it
        took too long
    """
    for number in [signal.SIGTERM, signal.SIGINT, signal.SIGHUP]:
        signal.signal(number, lambda *_: sys.exit(1))
    end = time.monotonic() + float(seconds)
    process = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, start_new_session=True)
    try:
        while time.monotonic() < end:
            # No waitpid here: the pid must stay reserved as that of the group.
            if os.waitid(os.P_PID, process.pid,
                    os.WEXITED | os.WNOHANG | os.WNOWAIT):
                break
            # The other end of the standard input is closed.
            if select.select([sys.stdin.buffer.raw], [], [], PAUSE)[0]:
                return 1
        else:
            return TOO_SLOW
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        status = process.wait()
    return 1 if status < 0 else status


if __name__ == '__main__':
    sys.exit(main(*sys.argv[1:]))
