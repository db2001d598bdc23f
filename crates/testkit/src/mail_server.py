"""A mail server that takes every mail and prints it as one line of JSON.

Arguments: encryption (none, start_tls, tls), certificate, key, user, password. Without a user
nobody has to sign in. Mail to `nobody@...` is refused, mail to `later@...` is to come again.
It ends when its standard input does.
"""

import asyncio
import email
import email.policy
import json
import ssl
import sys

from aiosmtpd.smtp import SMTP, AuthResult

encryption, certificate, key, user, password = sys.argv[1:6]


class Handler:
    async def handle_RCPT(self, server, session, envelope, address, options):
        if address.startswith("nobody@"):
            return "550 5.1.1 there is nobody of this name"
        if address.startswith("later@"):
            return "451 4.3.2 try again later"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        mail = email.message_from_bytes(envelope.content, policy=email.policy.default)
        parts = {part.get_content_type(): part.get_content() for part in mail.walk()
                 if not part.is_multipart()}
        print(json.dumps({
            "from": envelope.mail_from,
            "to": envelope.rcpt_tos,
            "headers": [[name, str(value)] for name, value in mail.items()],
            "text": parts.get("text/plain", ""),
            "html": parts.get("text/html", ""),
            "encrypted": encryption == "tls" or session.ssl is not None,
            "signed_in": bool(session.authenticated),
        }), flush=True)
        return "250 OK"


def authenticate(server, session, envelope, mechanism, given):
    ok = (given.login, given.password) == (user.encode(), password.encode())
    return AuthResult(success=ok, handled=False)


async def main():
    context = None
    if encryption != "none":
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(certificate, key)

    def protocol():
        return SMTP(
            Handler(),
            hostname="localhost",
            tls_context=context if encryption == "start_tls" else None,
            require_starttls=encryption == "start_tls",
            auth_required=bool(user),
            auth_require_tls=encryption == "start_tls",
            authenticator=authenticate if user else None,
        )

    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        protocol, "127.0.0.1", 0, ssl=context if encryption == "tls" else None)
    print(server.sockets[0].getsockname()[1], flush=True)
    await loop.run_in_executor(None, sys.stdin.read)


asyncio.run(main())
