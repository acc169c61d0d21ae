# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A mail server on this computer, which takes what comes or refuses it."""
import email
import socketserver
import threading
from contextlib import contextmanager


class _Talk(socketserver.StreamRequestHandler):
    "What is said with one client (RFC 5321)."

    def handle(self):
        self._say("220 here")
        for line in self.rfile:
            word = line[:4].upper().strip()
            if word == b'QUIT':
                self._say("221 bye")
                return
            if word == b'RCPT' and self.server.refuses:
                self._say("550 nobody of this name")
            elif word == b'DATA':
                self._say("354 go on")
                self.server.messages.append(self._message())
                self._say("250 taken")
            else:
                self._say("250 well")

    def _message(self):
        lines = []
        for line in self.rfile:
            if line == b'.\r\n':
                break
            lines.append(line)
        return email.message_from_bytes(b''.join(lines))

    def _say(self, text):
        self.wfile.write(f'{text}\r\n'.encode())


@contextmanager
def mail_server(refuses=False):
    """Run a mail server.

    :param bool refuses: whether it takes nothing for anybody
    :return: the server: its uri, and the messages that it took
    """
    with socketserver.ThreadingTCPServer(('127.0.0.1', 0), _Talk) as server:
        server.refuses, server.messages = refuses, []
        server.uri = f'smtp://127.0.0.1:{server.server_address[1]}'
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
