"""aiosmtpd and aiosmtplib, plain, with STARTTLS, and with TLS from the first byte.

aiosmtpd switches to TLS by asyncio's own SSLProtocol, which it puts on top of our transport; aiosmtplib by start_tls.
"""

import asyncio
from email.message import EmailMessage

import pytest

smtp = pytest.importorskip("aiosmtpd.smtp", reason="aiosmtpd is not installed")
aiosmtplib = pytest.importorskip("aiosmtplib", reason="aiosmtplib is not installed")


class Inbox:
    def __init__(self):
        self.mails = []

    async def handle_DATA(self, server, session, envelope):
        self.mails.append((envelope.mail_from, envelope.rcpt_tos, envelope.content, session.ssl is not None))
        return "250 taken"


def mail(number, size=100):
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = "me@example.org", f"you{number}@example.org", f"mail {number}"
    message.set_content("\n".join(["line " + "x" * 60] * (size // 65 + 1)))
    return message


@pytest.fixture(params=["plain", "starttls", "tls"])
def kind(request):
    return request.param


@pytest.fixture
def served(kind, authority):
    """served(use): run `use(connect, inbox)` beside a server, where connect() makes a client of the same kind."""

    async def serve(use):
        loop = asyncio.get_running_loop()
        inbox = Inbox()
        context = authority.server_context()
        starttls = {"tls_context": context, "require_starttls": True} if kind == "starttls" else {}
        server = await loop.create_server(
            lambda: smtp.SMTP(inbox, hostname="localhost", loop=loop, **starttls),
            "127.0.0.1",
            0,
            ssl=context if kind == "tls" else None,
        )
        port = server.sockets[0].getsockname()[1]

        def connect():
            return aiosmtplib.SMTP(
                hostname="localhost",
                port=port,
                local_hostname="localhost",
                use_tls=kind == "tls",
                start_tls=kind == "starttls",
                tls_context=authority.client_context(),
            )

        async with server:
            await use(connect, inbox)

    return serve


def test_mails_arrive(run, served, kind):
    async def use(connect, inbox):
        async with connect() as client:
            for number in range(20):
                await client.send_message(mail(number))
        assert [mail[1] for mail in inbox.mails] == [[f"you{number}@example.org"] for number in range(20)]
        if kind == "starttls":
            assert all(mail[3] for mail in inbox.mails)

    run(served(use))


def test_large_mails_from_many_clients(run, served):
    async def use(connect, inbox):
        async def one(number):
            async with connect() as client:
                await client.send_message(mail(number, 1_000_000))

        await asyncio.gather(*[one(number) for number in range(10)])
        assert {mail[1][0] for mail in inbox.mails} == {f"you{number}@example.org" for number in range(10)}
        assert all(len(mail[2]) > 1_000_000 for mail in inbox.mails)

    run(served(use))


@pytest.mark.parametrize("kind", ["starttls"], indirect=True)
def test_without_tls_nothing_is_taken_where_it_is_required(run, served):
    async def use(connect, inbox):
        client = connect()
        client._start_tls_on_connect = False
        async with client:
            with pytest.raises(aiosmtplib.SMTPResponseException, match="STARTTLS"):
                await client.send_message(mail(1))
        assert inbox.mails == []

    run(served(use))
