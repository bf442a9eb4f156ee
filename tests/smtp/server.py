"""A mail server on loopback: STARTTLS and a login before anything is taken, one line of JSON for each message."""

import email
import email.policy
import json
import ssl
import sys
import threading

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult

port, certificate, key, user, password = sys.argv[1:6]


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


tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
tls.load_cert_chain(certificate, key)
Controller(Mailbox(), hostname="127.0.0.1", port=int(port), tls_context=tls, require_starttls=True,
           authenticator=login, auth_required=True).start()
print("ready", flush=True)
threading.Event().wait()
