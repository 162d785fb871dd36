"""A mail server for tests: speaks as much SMTP as it takes, over TLS where it has a certificate; keeps what it gets."""

import base64
import socketserver
import ssl
import threading
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email import message_from_bytes
from email.message import Message
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec


@dataclass
class Mailbox:
    """What it got, and how it is to behave."""

    port: int = 0
    certificate: Path | None = None
    implicit: bool = False
    refusals: list[str] = field(default_factory=list)
    """Answers to the next recipients, in place of taking them."""
    mails: list[Message] = field(default_factory=list)
    logins: list[str] = field(default_factory=list)
    encrypted: list[bool] = field(default_factory=list)
    """Of each mail, whether it came over TLS."""
    tries: int = 0

    def __enter__(self) -> "Mailbox":
        self._server = _Server(("127.0.0.1", 0), _Talk)
        self._server.mailbox = self
        self.port = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(60)

    def context(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        assert self.certificate is not None
        context.load_cert_chain(self.certificate)
        return context


class _Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    mailbox: Mailbox

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hangs up on a certificate is no news."""


class _Talk(socketserver.StreamRequestHandler):
    server: _Server

    def handle(self) -> None:
        box = self.server.mailbox
        box.tries += 1
        self.secure = False
        if box.implicit:
            self.wrap()
        self.say("220 test")
        while line := self.rfile.readline().decode().strip():
            word = line.split(" ")[0].upper()
            if word == "QUIT":
                return self.say("221 bye")
            self.carry_out(word, line, box)

    def carry_out(self, word: str, line: str, box: Mailbox) -> None:
        if word == "EHLO":
            more = ["250-AUTH PLAIN"] + (["250-STARTTLS"] if box.certificate and not self.secure else [])
            self.say("\r\n".join(["250-test", *more, "250 8BITMIME"]))
        elif word == "STARTTLS":
            self.say("220 go")
            self.wrap()
        elif word == "AUTH":
            box.logins.append(base64.b64decode(line.split(" ")[2]).decode())
            self.say("235 fine")
        elif word == "RCPT" and box.refusals:
            self.say(box.refusals.pop(0))
        elif word == "DATA":
            self.say("354 go on")
            self.take(box)
            self.say("250 taken")
        else:
            self.say("250 fine")

    def take(self, box: Mailbox) -> None:
        lines = []
        while (line := self.rfile.readline()) != b".\r\n":
            lines.append(line)
        box.encrypted.append(self.secure)
        box.mails.append(message_from_bytes(b"".join(lines)))

    def wrap(self) -> None:
        self.connection = self.server.mailbox.context().wrap_socket(self.connection, server_side=True)
        self.rfile = self.connection.makefile("rb")
        self.secure = True

    def say(self, text: str) -> None:
        self.connection.sendall(text.encode() + b"\r\n")


def make_certificate(folder: Path) -> Path:
    """A certificate of this machine's own name, with its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    names = x509.SubjectAlternativeName([x509.DNSName("localhost"), x509.IPAddress(ip_address("127.0.0.1"))])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(names, critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )  # fmt: skip
    path = folder / "certificate.pem"
    path.write_bytes(private + made.public_bytes(serialization.Encoding.PEM))
    return path
