"""A mail server on loopback: STARTTLS and a login before anything is taken, one line of JSON for each message.

Its port is its own from the start and refuses connections until a line on the standard input names the folder of its certificate, so
that a test can tell a gateway where mail will be taken, before it is."""

import email
import email.policy
import json
import pathlib
import socket
import ssl
import sys
import threading

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult

user, password = sys.argv[1:3]


class Mailbox:
    async def handle_RCPT(self, server, session, envelope, address, options):
        if address.startswith("nobody@"):
            return "550 no such mailbox"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        message = email.message_from_bytes(envelope.content, policy=email.policy.default)
        told = {"to": envelope.rcpt_tos, "from": envelope.mail_from, "id": message["Message-ID"], "subject": message["Subject"],
                "text": message.get_content(), "tls": session.ssl is not None}
        print(json.dumps(told), flush=True)
        return "250 taken"


def login(server, session, envelope, mechanism, data):
    good = data.login == user.encode() and data.password == password.encode()
    return AuthResult(success=good)


class Server(Controller):
    def _create_server(self):
        return self.loop.create_server(self._factory_invoker, sock=bound, ssl=self.ssl_context)


bound = socket.socket()
bound.bind(("127.0.0.1", 0))
port = bound.getsockname()[1]
print(port, flush=True)
folder = pathlib.Path(sys.stdin.readline().strip() or sys.exit())
tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
tls.load_cert_chain(folder / "server.pem", folder / "server.key")
Server(Mailbox(), hostname="127.0.0.1", port=port, tls_context=tls, require_starttls=True, authenticator=login, auth_required=True,
       ready_timeout=60).start()
print("ready", flush=True)
threading.Event().wait()
