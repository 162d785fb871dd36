"""Where events may go: addresses as they are given, and as they are resolved."""

import asyncio
from collections.abc import Sequence
from ipaddress import ip_address

import pytest

from farthing.outbox.guard import Refused, Resolver, is_public, problem_of, target_of, vetted

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


def test_the_system_is_asked_for_names():
    resolver = Resolver()
    try:
        assert {"127.0.0.1", "::1"} & set(asyncio.run(resolver("localhost", 80)))
    finally:
        resolver.close()
