# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs a command beside one that takes long and mostly waits:
``beside.py LONG -- COMMAND``.

What the long one says is shown when both have ended.
"""
import signal
import subprocess
import sys
import tempfile


def main(arguments):
    "Run both and return the exit status of one that failed, else 0."
    end = arguments.index('--')
    with tempfile.TemporaryFile() as said:
        # It is interrupted once, by the kernel when this process is killed.
        long = subprocess.Popen(
            ['setpriv', '--pdeathsig', 'INT', '--', *arguments[:end]],
            stdin=subprocess.DEVNULL, stdout=said, stderr=said,
            start_new_session=True)
        try:
            status = subprocess.call(arguments[end + 1:])
            return status or long.wait()
        except BaseException:
            long.send_signal(signal.SIGINT)
            raise
        finally:
            long.wait()
            said.seek(0)
            sys.stdout.buffer.write(said.read())


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
