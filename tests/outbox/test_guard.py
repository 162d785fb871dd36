"""Where events may go: addresses as they are given, and as they are resolved."""

import asyncio
import socket
import subprocess
import sys
import threading
from collections.abc import Sequence
from ipaddress import ip_address
from pathlib import Path

import pytest

from farthing.outbox import guard
from farthing.outbox.guard import Refused, Resolver, is_public, problem_of, target_of, vetted

HANGS = """
import asyncio, socket, time
from farthing.outbox.guard import Resolver
socket.getaddrinfo = lambda *_, **__: time.sleep(600)
async def main():
    try:
        await asyncio.wait_for(Resolver()("example.com", 443), 0.05)
    except TimeoutError:
        pass
asyncio.run(main())
"""
GOOD = [
    "https://example.com",
    "https://example.com/hooks?tenant=1",
    "https://EXAMPLE.com./",
    "https://hooks.example.co.uk:8443/a",
    "https://xn--mnchen-3ya.de/",
    "https://under_score.example.com/",
    "https://93.184.216.34/",
    "https://[2606:2800:220:1:248:1893:25c8:1946]/",
    "https://1and1.com/",
]


@pytest.mark.parametrize("url", GOOD)
def test_public_addresses_are_taken(url: str):
    assert problem_of(url) is None


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("http://example.com/", "https://"),
        ("ftp://example.com/", "https://"),
        ("file:///etc/passwd", "https://"),
        ("example.com", "https://"),
        ("", "printable"),
        ("https://", "name of a host"),
        ("https:///path", "name of a host"),
        ("https://user:secret@example.com/", "no user"),
        ("https://example.com@10.0.0.1/", "no user"),
        ("https://example.com/#part", "fragment"),
        ("https://example.com:22/", "port"),
        ("https://example.com:80/", "port"),
        ("https://example.com:0/", "port"),
        ("https://example.com:99999/", "no address"),
        ("https://exa mple.com/", "printable"),
        ("https://example.com/\r\nhost: x", "printable"),
        ("https://example.com\\@10.0.0.1/", "printable"),
        ("https://münchen.de/", "printable"),
        ("https://" + "a" * 2_048, "printable"),
        ("https://exa%6dple.com/", "name of a host"),
        ("https://.example.com/", "name of a host"),
        ("https://localhost/", "public name"),
        ("https://LOCALHOST./", "public name"),
        ("https://api.localhost/", "public name"),
        ("https://metadata/", "public name"),
        ("https://metadata.google.internal/", "public name"),
        ("https://printer.local/", "public name"),
        ("https://127.0.0.1/", "public address"),
        ("https://127.0.0.1./", "public address"),
        ("https://10.1.2.3/", "public address"),
        ("https://172.16.0.1/", "public address"),
        ("https://192.168.1.1/", "public address"),
        ("https://169.254.169.254/latest/meta-data", "public address"),
        ("https://168.63.129.16/", "public address"),
        ("https://100.64.0.1/", "public address"),
        ("https://0.0.0.0/", "public address"),
        ("https://224.0.0.1/", "public address"),
        ("https://255.255.255.255/", "public address"),
        ("https://198.18.0.1/", "public address"),
        ("https://[::1]/", "public address"),
        ("https://[::]/", "public address"),
        ("https://[::ffff:10.0.0.1]/", "public address"),
        ("https://[::ffff:7f00:1]/", "public address"),
        ("https://[::7f00:1]/", "public address"),
        ("https://[64:ff9b::10.0.0.1]/", "public address"),
        ("https://[64:ff9b:1::1]/", "public address"),
        ("https://[2002:0a00:0001::1]/", "public address"),
        ("https://[2001:0:4136:e378:8000:63bf:3fff:fdd2]/", "public address"),
        ("https://[fc00::1]/", "public address"),
        ("https://[fd00:ec2::254]/", "public address"),
        ("https://[fe80::1]/", "public address"),
        ("https://[fe80::1%25eth0]/", "public address"),
        ("https://[fec0::1]/", "public address"),
        ("https://[ff02::1]/", "public address"),
        ("https://[2001:db8::1]/", "public address"),
        ("https://[::ffff:0:127.0.0.1]/", "public address"),
        ("https://[2002:7f00:1::]/", "public address"),
        ("https://[fd20:ce::254]/", "public address"),
        ("https://[fe80::1%25]/", "public address"),
        ("https://100.100.100.200/", "public address"),
        ("https://192.0.0.192/", "public address"),
        ("https://192.88.99.1/", "public address"),
        ("https://240.0.0.1/", "public address"),
        ("https://239.255.255.250/", "public address"),
        ("https://127.0.0.1../", "name of a host"),
        ("https://127.0.0.1%2f.example.com/", "name of a host"),
        ("https://127.0.0.1:8443:443/", "no address"),
        ("https://\u2460\u2461\u2466.\u24ea.\u24ea.\u2460/", "printable"),
        ("https://127\u30020\u30020\u30021/", "printable"),
        ("https://[not-an-address]/", "no address"),
        ("https://2130706433/", "written in full"),
        ("https://0x7f000001/", "written in full"),
        ("https://0x7f.1/", "written in full"),
        ("https://0177.0.0.1/", "written in full"),
        ("https://127.1/", "written in full"),
        ("https://127.0.0.0x1/", "written in full"),
    ],
)
def test_what_may_lead_inside_is_refused_and_the_sentence_says_why(url: str, why: str):
    assert why in (problem_of(url) or "")


@pytest.mark.parametrize(
    "url", [*GOOD, "http://localhost:8000/x", "http://127.0.0.1:1/", "http://[::1]:80/", "http://receiver/"]
)
def test_who_allows_it_may_send_to_his_own_network_without_tls(url: str):
    assert problem_of(url, allow_private=True) is None


@pytest.mark.parametrize("url", ["http://a@b/", "http://0x7f.1/", "gopher://x/", "http://x/#y"])
def test_who_allows_it_may_not_send_to_what_is_no_address(url: str):
    assert problem_of(url, allow_private=True) is not None


def test_where_an_address_leads():
    assert target_of("https://Example.com.:8443/a/b?c=d") == (
        True,
        "example.com",
        8443,
        "Example.com.:8443",
        "/a/b?c=d",
    )
    assert target_of("https://[2606:2800:220:1::1]") == (True, "2606:2800:220:1::1", 443, "[2606:2800:220:1::1]", "/")


def test_addresses_of_the_internet_are_public():
    assert all(is_public(ip_address(text)) for text in ("1.1.1.1", "8.8.8.8", "2606:4700::1111", "64:ff9b::808:808"))


def vet(url: str, found: Sequence[str], *, allow_private: bool = False) -> list[str]:
    async def resolve(host: str, port: int) -> Sequence[str]:
        return found

    return asyncio.run(vetted(target_of(url, allow_private), resolve, allow_private))


def test_of_what_a_name_resolves_to_only_the_public_is_connected_to():
    assert vet("https://example.com", ["10.0.0.1", "1.1.1.1", "::ffff:127.0.0.1"]) == ["1.1.1.1"]


@pytest.mark.parametrize(
    "found", [["10.0.0.1"], ["::1"], ["::ffff:169.254.169.254"], ["fe80::1%eth0"], [], ["nonsense"]]
)
def test_a_name_that_leads_inside_is_refused_without_a_word_on_where(found: list[str]):
    with pytest.raises(Refused) as refused:
        vet("https://example.com", found)
    assert not any(address in str(refused.value) for address in found)


def test_an_address_in_numbers_is_not_resolved():
    assert vet("https://1.1.1.1", ["10.0.0.1"]) == ["1.1.1.1"]


def test_who_allows_it_connects_anywhere():
    assert vet("http://receiver:8000", ["10.0.0.1"], allow_private=True) == ["10.0.0.1"]


def test_a_name_that_is_slow_to_be_found_holds_up_no_other_however_often_it_is_asked_for(
    monkeypatch: pytest.MonkeyPatch,
):
    asked: list[str] = []
    found = threading.Event()

    def look_up(host: str, port: int, **_: object) -> list[tuple[object, ...]]:
        asked.append(host)
        if host == "slow.example.com":
            assert found.wait(60)
        return [(0, 0, 0, "", ("1.1.1.1", port))]

    async def play() -> list[list[str]]:
        slow = [asyncio.create_task(resolver("slow.example.com", 443)) for _ in range(2 * guard.RESOLVERS)]
        await asyncio.sleep(0)
        slow.pop().cancel()
        good = await resolver("good.example.com", 443)
        found.set()
        return [good, *await asyncio.gather(*slow)]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    resolver = Resolver()
    assert asyncio.run(play()) == [["1.1.1.1"]] * 2 * guard.RESOLVERS
    assert asked == ["slow.example.com", "good.example.com"]


def test_the_system_is_asked_for_names():
    assert {"127.0.0.1", "::1"} & set(asyncio.run(Resolver()("localhost", 80)))


def test_a_name_that_nobody_knows_is_told_and_asked_for_anew(monkeypatch: pytest.MonkeyPatch):
    asked: list[str] = []

    def look_up(host: str, *_: object, **__: object) -> None:
        asked.append(host)
        raise socket.gaierror(socket.EAI_NONAME, "not known")

    async def play() -> None:
        resolver = Resolver()
        for _ in range(2):
            with pytest.raises(OSError, match="not known"):
                await resolver("nothing.invalid", 443)

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    asyncio.run(play())
    assert asked == ["nothing.invalid"] * 2


def test_a_name_that_is_still_looked_for_keeps_no_process_from_ending(tmp_path: Path):
    program = tmp_path / "ends.py"
    program.write_text(HANGS)
    subprocess.run([sys.executable, str(program)], check=True, timeout=60)
