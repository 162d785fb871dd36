"""A request to an endpoint, and what is made of the oddest answers."""

import asyncio
import gzip
import ssl
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from farthing.outbox import posting
from farthing.outbox.guard import target_of
from farthing.outbox.posting import BODY_BYTES, HEADER_BYTES, Posted, Poster
from tests.outbox.receivers import OK, Answer, Receiver, receiving, says

HEADERS = [(b"webhook-id", b"evt_1")]


async def known(host: str, port: int) -> Sequence[str]:
    return ["127.0.0.1"]


def poster(url: str, *, timeout: float = 30, **given: Any) -> Poster:
    context = given.pop("context", ssl.create_default_context)
    return Poster(
        target_of(url, True), given.pop("resolve", known), context, allow_private=given.pop("allow_private", True),
        timeout_seconds=timeout,
    )  # fmt: skip


def posted(answer: Answer, times: int = 1, **given: Any) -> tuple[Posted, Receiver]:
    """What came of posting to a receiver that answers so."""

    async def play() -> tuple[Posted, Receiver]:
        async with receiving(answer) as receiver:
            posts = poster(receiver.url("/hook?a=b"), **given)
            for _ in range(times):
                found = await posts.post(HEADERS, b'{"data":{}}')
            posts.close()
            return found, receiver

    return asyncio.run(play())


def test_a_request_says_what_it_has_to():
    found, receiver = posted(OK)
    (got,) = receiver.got
    assert (found.status, found.detail, got.path, got.body) == (204, "", "/hook?a=b", b'{"data":{}}')
    assert got.headers["host"] == f"127.0.0.1:{receiver.port}"
    assert (got.headers["content-type"], got.headers["webhook-id"]) == ("application/json", "evt_1")


@pytest.mark.parametrize(
    "answer", [OK, says(200, b"ok"), says(500), b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n"]
)
def test_a_connection_is_used_again(answer: bytes):
    assert posted(answer, times=5)[1].connections == 1


@pytest.mark.parametrize(
    "answer",
    [b"HTTP/1.0 200 OK\r\ncontent-length: 0\r\n\r\n", says(200, connection="close"), says(200, b"x" * 2_000_000)],
)
def test_a_connection_that_is_to_end_or_says_too_much_is_not(answer: bytes):
    assert posted(answer, times=3)[1].connections == 3


def test_a_connection_that_ended_while_it_was_idle_is_made_again():
    def once(got: Any) -> bytes:
        return OK

    async def play() -> tuple[list[int | None], int]:
        async with receiving(once) as receiver:
            posts = poster(receiver.url())
            found = [(await posts.post(HEADERS, b"")).status]
            receiver.answer = lambda got: b"" if receiver.connections == 1 else OK
            found.append((await posts.post(HEADERS, b"")).status)
            posts.close()
            return found, receiver.connections

    assert asyncio.run(play()) == ([204, 204], 2)


@pytest.mark.parametrize(
    ("answer", "status", "detail"),
    [
        (says(200, b'{"ok":\x00true}'), 200, '{"ok": true}'),
        (says(500, "Zoë\n".encode()), 500, "Zoë"),
        (says(302, location="http://169.254.169.254/"), 302, ""),
        (b"HTTP/1.1 100 Continue\r\n\r\n" + says(201), 201, ""),
        (b"HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n" + says(202), 202, ""),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n", 200, "hi"),
        (says(200, b"x" * 100_000), 200, "x" * BODY_BYTES),
        (b"HTTP/1.1 101 Switching\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n", None, "upgrade"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", None, "no HTTP"),
        (b"HTTP/1.1 200 OK\r\nx: " + b"y" * (HEADER_BYTES + 1) + b"\r\n\r\n", None, "too long"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n", None, "no HTTP"),
        (b"", None, "without an answer"),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\nhi\r\n", 200, ""),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ncontent-length: 2\r\n\r\n2\r\nhi\r\n", None, "no HTTP"),
        (b"HTTP/1.0 204 No Content\r\n\r\n", 204, ""),
        (b"HTTP/1.1 204 No Content\r\n\r\nwhat is this", 204, ""),
        (b"HTTP/1.1 100 Continue\r\n\r\n" * 1_000, None, "too long"),
        (says(204) + says(204)[:20], 204, ""),
        (b"HTTP/1.1 99999 OK\r\n\r\n", None, "no HTTP"),
    ],
)
def test_odd_answers(answer: bytes, status: int | None, detail: str):
    found, _ = posted(answer)
    assert found.status == status
    assert found.detail == detail if status else detail in found.detail


def test_the_pause_that_is_asked_for_is_told():
    assert posted(says(429, retry_after="120"))[0].retry_after == "120"


def test_an_answer_without_a_length_ends_with_the_connection():
    async def play() -> Posted:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 OK\r\n\r\nall of it")
            writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        found = await poster(f"http://127.0.0.1:{port}/").post(HEADERS, b"")
        server.close()
        return found

    found = asyncio.run(play())
    assert (found.status, found.detail) == (200, "all of it")


@pytest.mark.parametrize("begun", [b"HTTP/1.1 200 OK\r\n\r\nhi", says(200, b"hi").replace(b"length: 2", b"length: 9")])
def test_a_body_that_never_ends_is_not_waited_for(monkeypatch: pytest.MonkeyPatch, begun: bytes):
    monkeypatch.setattr(posting, "BODY_SECONDS", 0.05)
    found, receiver = posted(begun, times=2)
    assert (found.status, found.detail, receiver.connections) == (200, "hi", 2)


def test_who_does_not_answer_in_time_is_cut_off():
    async def play() -> Posted:
        async with receiving() as receiver:
            receiver.answer = receiver.hang
            return await poster(receiver.url(), timeout=0.05).post(HEADERS, b"")

    assert asyncio.run(play()).detail == "no answer within 0.05 seconds"


def test_what_is_packed_is_not_unpacked():
    found, _ = posted(says(200, gzip.compress(b"x" * 1_000_000), content_encoding="gzip"))
    assert (found.status, "xxx" in found.detail, len(found.detail) <= BODY_BYTES) == (200, False, True)


def test_a_connection_that_is_reset_is_a_failure_and_the_next_one_is_new():
    async def play() -> list[Posted]:
        async with receiving(OK) as receiver:
            posts = poster(receiver.url())
            found = [await posts.post(HEADERS, b"")]
            receiver.answer, receiver.resets = b"", True
            found += [await posts.post(HEADERS, b"")]
            receiver.answer, receiver.resets = OK, False
            return [*found, await posts.post(HEADERS, b"")]

    assert [each.status for each in asyncio.run(play())] == [204, None, 204]


def test_an_answer_that_comes_letter_by_letter_is_waited_for_no_longer_than_one_that_never_comes():
    async def play() -> Posted:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 OK\r\nx: ")
            while not writer.is_closing():
                writer.write(b"y")
                await asyncio.sleep(0.01)

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        found = await poster(f"http://127.0.0.1:{port}/", timeout=0.1).post(HEADERS, b"")
        server.close()
        return found

    assert asyncio.run(play()).detail == "no answer within 0.1 seconds"


def test_an_address_of_the_new_kind_is_reached():
    async def play() -> tuple[Posted, str]:
        heads: list[bytes] = []

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            heads.append(await reader.readuntil(b"\r\n\r\n"))
            writer.write(OK)

        server = await asyncio.start_server(serve, "::1", 0)
        port = server.sockets[0].getsockname()[1]
        posts = poster(f"http://[::1]:{port}/")
        found = await posts.post(HEADERS, b"")
        posts.close()
        server.close()
        return found, heads[0].decode().replace(str(port), "PORT")

    found, head = asyncio.run(play())
    assert (found.status, "host: [::1]:PORT\r\n" in head) == (204, True)


def test_no_proxy_is_asked_whatever_the_environment_says(monkeypatch: pytest.MonkeyPatch):
    for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9/")
    assert posted(OK)[0].status == 204


def test_who_is_not_there_is_an_answer_as_well():
    async def play() -> Posted:
        async with receiving() as receiver:
            url = receiver.url()
        return await poster(url).post(HEADERS, b"")

    found = asyncio.run(play())
    assert found.status is None
    assert "onnect" in found.detail


# Names


def test_the_connection_goes_to_the_address_that_was_looked_at_and_not_to_the_name():
    """The second look at the name leads elsewhere: nobody ever takes it."""
    asked: list[str] = []

    async def changing(host: str, port: int) -> Sequence[str]:
        asked.append(host)
        return ["127.0.0.1"] if len(asked) == 1 else ["192.0.2.1"]

    async def play() -> tuple[Posted, str]:
        async with receiving() as receiver:
            found = await poster(f"http://changes.example.com:{receiver.port}/", resolve=changing).post(HEADERS, b"")
            return found, receiver.got[0].headers["host"]

    found, host = asyncio.run(play())
    assert (found.status, asked) == (204, ["changes.example.com"])
    assert host.startswith("changes.example.com:")


def test_a_name_that_has_come_to_lead_inside_is_not_connected_to():
    """It was public when the endpoint was made, and at the first try; each connection looks anew."""
    found = ["127.0.0.1"]

    async def changing(host: str, port: int) -> Sequence[str]:
        return found

    async def play() -> tuple[Posted, int]:
        async with receiving() as receiver:
            url = f"https://changes.example.com:{receiver.port}/"
            return await poster(url, resolve=changing, allow_private=False).post(HEADERS, b""), receiver.connections

    assert asyncio.run(play())[0].detail == "changes.example.com leads to no public address"
    assert asyncio.run(play())[1] == 0


def test_of_several_addresses_the_next_is_tried():
    async def two(host: str, port: int) -> Sequence[str]:
        return ["127.0.0.2", "127.0.0.1"]

    async def play() -> Posted:
        async with receiving() as receiver:
            return await poster(f"http://two.example.com:{receiver.port}/", resolve=two).post(HEADERS, b"")

    assert asyncio.run(play()).status == 204


# TLS


def certificate(folder: Path, name: str) -> tuple[Path, Path]:
    """One that signs itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject, now = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)]), datetime.now(UTC)
    made = (
        x509.CertificateBuilder().subject_name(subject).issuer_name(subject).public_key(key.public_key())
        .serial_number(1).not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    own, public = folder / "own.pem", folder / "public.pem"
    own.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )  # fmt: skip
    public.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    return own, public


@pytest.mark.parametrize(
    ("name", "trusted", "says"),
    [
        ("hooks.example.com", True, (204, "")),
        ("hooks.example.com", False, (None, "TLS: self-signed certificate")),
        ("other.example.com", True, (None, "TLS: Hostname mismatch")),
    ],
)
def test_a_certificate_must_be_good_and_that_of_the_name(
    tmp_path: Path, name: str, trusted: bool, says: tuple[int | None, str]
):
    own, public = certificate(tmp_path, name)
    server_context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server_context.load_cert_chain(public, own)

    def context() -> ssl.SSLContext:
        return ssl.create_default_context(cafile=str(public) if trusted else None)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(OK)

    async def play() -> Posted:
        server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=server_context)
        port = server.sockets[0].getsockname()[1]
        posts = poster(f"https://hooks.example.com:{port}/", context=context)
        found = await posts.post(HEADERS, b"")
        posts.close()
        server.close()
        return found

    found = asyncio.run(play())
    assert (found.status, found.detail[: len(says[1])]) == says
