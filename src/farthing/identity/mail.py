"""Mail: what the login service has to say by mail, and how it gets there: through an SMTP server, or, while developing,
into the log.

It is sent after the answer, in the background: nobody waits for a mail server, and nothing shows whether there was
anything to send. What can't be sent is logged, without what it says.
"""

import asyncio
import smtplib
import ssl
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from email.message import EmailMessage
from email.utils import formatdate, make_msgid, parseaddr
from typing import Any, Final, Literal, get_args
from urllib.parse import parse_qs, unquote, urlsplit

from msgspec import Struct
from structlog.typing import FilteringBoundLogger

from .forms import email_error

Security = Literal["required", "offered", "none"]
TIMEOUT_SECONDS: Final = 15.0
WAITS_SECONDS: Final = (2.0, 10.0)
"""Between one try and the next."""
MOST_WAITING: Final = 2_000
PARTING_SECONDS: Final = 3.0
_PORTS: Final = {"smtp": 587, "smtps": 465}
_LOOPBACK: Final = ("localhost", "127.0.0.1", "::1")


class Message(Struct, frozen=True):
    """A mail."""

    to: str
    subject: str
    text: str


class Relay(Struct, frozen=True):
    """An SMTP server, and who mails by it."""

    host: str
    port: int
    sender: str
    implicit_tls: bool
    security: Security
    user: str = ""
    password: str = ""


def read_relay(url: str) -> Relay:
    """The server that a URL names: smtp://user:password@host:587?from=login@example.com; with smtps:// it speaks TLS
    from the first byte on. A ValueError says what is wrong, without the URL: there may be a password in it."""
    parts = urlsplit(url)
    if parts.scheme not in _PORTS or not parts.hostname:
        raise ValueError("must be smtp://user:password@host:587?from=login@example.com, or the same with smtps://")
    given = parse_qs(parts.query)
    if unknown := given.keys() - {"from", "tls"}:
        raise ValueError(f"has no parameter {', '.join(sorted(unknown))}; there are from and tls")
    sender = given.get("from", [""])[0]
    if email_error(parseaddr(sender)[1]):
        raise ValueError("needs ?from= with the address that mail comes from, such as ?from=login@example.com")
    try:
        port = parts.port or _PORTS[parts.scheme]
    except ValueError:
        raise ValueError("must have a port from 1 to 65535") from None
    # On the same machine nobody listens in between; elsewhere a code must not be read on its way.
    usual = "offered" if parts.hostname in _LOOPBACK else "required"
    return Relay(
        parts.hostname, port, sender, parts.scheme == "smtps", _security(given.get("tls", [usual])[0]),
        unquote(parts.username or ""), unquote(parts.password or ""),
    )  # fmt: skip


def _security(text: str) -> Security:
    choices: tuple[Security, ...] = get_args(Security)
    for choice in choices:
        if text == choice:
            return choice
    raise ValueError(f"tls must be one of {', '.join(choices)}")


def send_by(relay: Relay, message: Message) -> None:
    """Hand a mail to the server; takes its time."""
    with _connected(relay) as server:
        if not relay.implicit_tls and relay.security != "none":
            server.ehlo()
            if server.has_extn("starttls") or relay.security == "required":
                server.starttls(context=ssl.create_default_context())
        if relay.user:
            server.login(relay.user, relay.password)
        server.send_message(_written(relay.sender, message))


def _connected(relay: Relay) -> smtplib.SMTP:
    if relay.implicit_tls:
        context = ssl.create_default_context()
        return smtplib.SMTP_SSL(relay.host, relay.port, timeout=TIMEOUT_SECONDS, context=context)
    return smtplib.SMTP(relay.host, relay.port, timeout=TIMEOUT_SECONDS)


def _written(sender: str, message: Message) -> EmailMessage:
    mail = EmailMessage()
    mail["From"] = sender
    mail["To"] = message.to
    mail["Subject"] = message.subject
    mail["Date"] = formatdate(localtime=False)
    mail["Message-ID"] = make_msgid(domain=parseaddr(sender)[1].rpartition("@")[2])
    mail["Auto-Submitted"] = "auto-generated"
    mail.set_content(message.text)
    return mail


class Post:
    """Sends mails in the background, one at a time; each is tried again for a while."""

    def __init__(self, send: Callable[[Message], None] | None, log: FilteringBoundLogger) -> None:
        self._send = send
        self._log = log
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="farthing-mail")
        self._waits = WAITS_SECONDS
        self._warned = False
        self._tasks: set[asyncio.Task[None]] = set()

    def soon(self, message: Message, **about: Any) -> None:
        """Send it as soon as may be; `about` is what the log may say of it."""
        if self._send is None:
            self._to_log(message, about)
        else:
            self._begin(self._deliver(self._send, message, about), about)

    def _to_log(self, message: Message, about: dict[str, Any]) -> None:
        if not self._warned:
            self._log.warning(
                "mail goes to this log, codes and all: set FARTHING_SMTP_URL, unless this is for development"
            )
            self._warned = True
        self._log.info("mail", to=message.to, subject=message.subject, text=message.text, **about)

    def later(self, work: Coroutine[Any, Any, None], **about: Any) -> None:
        """Do what a mail takes after the answer, so that the answer does not show whether there is anything to do."""
        self._begin(self._done(work, about), about)

    def _begin(self, work: Coroutine[Any, Any, None], about: dict[str, Any]) -> None:
        if len(self._tasks) >= MOST_WAITING:
            work.close()
            self._log.error("mail was not sent: too many wait to be", **about)
            return
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _done(self, work: Coroutine[Any, Any, None], about: dict[str, Any]) -> None:
        try:
            await work
        except Exception as error:
            self._log.error("mail was not sent", error=f"{type(error).__name__}: {error}", **about, exc_info=error)

    async def _deliver(self, send: Callable[[Message], None], message: Message, about: dict[str, Any]) -> None:
        for wait in (*self._waits, None):
            try:
                await asyncio.get_running_loop().run_in_executor(self._pool, send, message)
                return
            except asyncio.CancelledError:
                self._log.error("mail was not sent: the server ends", **about)
                raise
            except Exception as error:
                self._tell(error, wait, about)
                if wait is None or _for_good(error):
                    return
                await asyncio.sleep(wait)

    def _tell(self, error: Exception, wait: float | None, about: dict[str, Any]) -> None:
        if wait is None or _for_good(error):
            self._log.error("mail was not sent", error=f"{type(error).__name__}: {error}", **about)
        else:
            self._log.warning("mail was not sent yet, and will be", error=f"{type(error).__name__}: {error}", **about)

    async def aclose(self) -> None:
        """Send what is on its way, for a while; then let go of the rest."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=PARTING_SECONDS)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._pool.shutdown(wait=False, cancel_futures=True)


def _for_good(error: Exception) -> bool:
    """Whether another try would meet the same: a refusal, not a broken line. A server's code of 4xx asks for one."""
    if isinstance(error, smtplib.SMTPResponseException):
        return error.smtp_code >= 500
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        return all(code >= 500 for code, _ in error.recipients.values())
    return not isinstance(error, OSError)


# What is said


def verification(to: str, username: str, code: str, minutes: int) -> Message:
    """The code that shows that an address is somebody's."""
    text = (
        f"Hello {username},\n\nyour verification code is\n\n    {code}\n\nIt can be used once, within {minutes} "
        "minutes. If you have not asked for it, you need do nothing.\n"
    )
    return Message(to, "Your verification code", text)


def reset(to: str, username: str, token: str, minutes: int, public_url: str) -> Message:
    """The token that lets somebody choose a new password."""
    # In the fragment, which browsers send to nobody: it appears in no log on the way.
    link = f"{public_url.rstrip('/')}/reset-password#token={token}" if public_url else token
    what = "Open this link" if public_url else "Use this token"
    text = (
        f"Hello {username},\n\nsomebody, probably you, has asked for a new password. {what}:\n\n    {link}\n\n"
        f"It can be used once, within {minutes} minutes. If it was not you, you need do nothing: your password stays "
        "as it is.\n"
    )
    return Message(to, "Your new password", text)
