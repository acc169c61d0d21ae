# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs a program and all that it starts, and ends them together: when the
program ends, when its time is over, and when whoever asked for it is gone.

It runs as a program of its own: LibreOffice is started by a launcher, and to
end the launcher does not end LibreOffice.
"""
import os
import select
import signal
import subprocess
import sys
import time

#: The status when the time was over, as that of timeout(1).
TOO_SLOW = 124
PAUSE = 0.05


def main(seconds, *command):
    """Run a program, in a process group of its own.

    :param str seconds: how long it may take
    :param str command: the program and its parameters
    :return: its status, 1 when it was killed, TOO_SLOW when it took too long
    """
    for number in [signal.SIGTERM, signal.SIGINT, signal.SIGHUP]:
        signal.signal(number, lambda *_: sys.exit(1))
    end = time.monotonic() + float(seconds)
    process = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, start_new_session=True)
    try:
        while time.monotonic() < end:
            # It is not waited for: its number must stay that of the group.
            if os.waitid(os.P_PID, process.pid,
                    os.WEXITED | os.WNOHANG | os.WNOWAIT):
                break
            if _is_left_alone():
                return 1
        else:
            return TOO_SLOW
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        status = process.wait()
    return 1 if status < 0 else status


def _is_left_alone():
    """Return whether the other end of the standard input is closed."""
    readable, _, _ = select.select([sys.stdin.buffer.raw], [], [], PAUSE)
    return bool(readable)


if __name__ == '__main__':
    sys.exit(main(*sys.argv[1:]))
