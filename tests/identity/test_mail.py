"""Mail goes to a real server, over TLS wherever somebody could listen, and is tried again where that helps."""

import asyncio
import io
import json
import re

import pytest

from farthing.api.logs import make_logger
from farthing.identity.mail import Message, Post, read_relay, reset, send_by, verification
from tests.identity.mailbox import Mailbox, make_certificate

MAIL = Message("anna@example.com", "Hello", "K7M2QX\n")


def relay(box, scheme="smtp", user="", host="127.0.0.1", **parameters):
    query = "&".join(f"{name}={value}" for name, value in {"from": "login@example.com", **parameters}.items())
    return read_relay(f"{scheme}://{user}{host}:{box.port}?{query}")


def test_a_mail_arrives_with_all_that_it_takes():
    with Mailbox() as box:
        send_by(relay(box), MAIL)
    (mail,) = box.mails
    assert (mail["From"], mail["To"], mail["Subject"]) == ("login@example.com", "anna@example.com", "Hello")
    assert mail["Message-ID"].endswith("@example.com>")
    assert mail["Auto-Submitted"] == "auto-generated"
    assert str(mail.get_payload()).strip() == "K7M2QX"


@pytest.mark.parametrize(("scheme", "implicit"), [("smtp", False), ("smtps", True)])
def test_a_server_with_a_good_certificate_gets_mail_and_password_over_tls(tmp_path, monkeypatch, scheme, implicit):
    certificate = make_certificate(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    with Mailbox(certificate=certificate, implicit=implicit) as box:
        send_by(relay(box, scheme, "us%40er:pass%20word@", tls="required"), MAIL)
    assert box.encrypted == [True]
    assert box.logins == ["\0us@er\0pass word"]


def test_a_server_whose_certificate_nobody_knows_gets_nothing(tmp_path):
    unknown = pytest.raises(OSError, match="certificate verify failed")
    with Mailbox(certificate=make_certificate(tmp_path)) as box, unknown:
        send_by(relay(box, user="user:pass@", tls="required"), MAIL)
    assert (box.mails, box.logins) == ([], [])


def test_where_tls_is_required_nothing_goes_without():
    with Mailbox() as box, pytest.raises(OSError, match="STARTTLS"):
        send_by(relay(box, user="user:pass@", tls="required"), MAIL)
    assert (box.mails, box.logins) == ([], [])


def test_tls_is_required_of_every_other_machine():
    assert read_relay("smtp://mail.example.com?from=a@example.com").security == "required"
    assert read_relay("smtp://mail.example.com?from=a@example.com&tls=none").security == "none"
    assert read_relay("smtp://localhost?from=a@example.com").security == "offered"


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("mail.example.com", "must be smtp://"),
        ("http://mail.example.com?from=a@example.com", "must be smtp://"),
        ("smtp://?from=a@example.com", "must be smtp://"),
        ("smtp://mail.example.com", "needs ?from="),
        ("smtp://user:hidden@mail.example.com?from=x", "needs ?from="),
        ("smtp://mail.example.com:99999?from=a@example.com", "port"),
        ("smtp://mail.example.com?from=a@example.com&tls=yes", "tls must be one of required, offered, none"),
        ("smtp://mail.example.com?from=a@example.com&to=b", "has no parameter to"),
    ],
)
def test_a_url_that_names_no_server_is_refused_without_its_password(url, words):
    with pytest.raises(ValueError, match=re.escape(words)) as error:
        read_relay(url)
    assert "hidden" not in str(error.value)


def test_a_server_has_its_usual_port_and_a_sender_may_have_a_name():
    found = read_relay("smtp://mail.example.com?from=Farthing%20%3Clogin@example.com%3E")
    assert (found.port, found.sender) == (587, "Farthing <login@example.com>")
    assert read_relay("smtps://mail.example.com?from=a@example.com").port == 465


# In the background


def post(send, work, waits=(0.0, 0.0)):
    """Have a post do something, and end it; what it has logged."""
    log = io.StringIO()

    async def run():
        post = Post(send, make_logger("info", log))
        post._waits = waits
        await work(post)
        await post.aclose()

    asyncio.run(run())
    return [json.loads(line) for line in log.getvalue().splitlines()]


async def soon(post):
    post.soon(MAIL, user="usr_1")


def test_without_a_server_mail_goes_to_the_log():
    async def twice(post):
        await soon(post)
        await soon(post)

    warning, *lines = post(None, twice)
    assert (warning["level"], "FARTHING_SMTP_URL" in warning["event"]) == ("warning", True)
    found = [(line["event"], line["level"], line["to"], line["text"]) for line in lines]
    assert found == [("mail", "info", MAIL.to, MAIL.text)] * 2


def test_ending_waits_for_what_is_on_its_way():
    with Mailbox() as box:
        assert post(lambda message: send_by(relay(box), message), soon) == []
    assert len(box.mails) == 1


def test_a_server_that_asks_for_another_try_gets_one():
    with Mailbox(refusals=["451 later"]) as box:
        (line,) = post(lambda message: send_by(relay(box), message), soon)
    assert (len(box.mails), box.tries) == (1, 2)
    assert (line["level"], line["user"]) == ("warning", "usr_1")


def test_a_mail_that_is_refused_is_not_sent_again_and_the_log_says_so_without_its_text():
    with Mailbox(refusals=["550 nobody here"]) as box:
        (line,) = post(lambda message: send_by(relay(box), message), soon)
    assert (len(box.mails), box.tries) == (0, 1)
    assert (line["level"], line["event"], line["user"]) == ("error", "mail was not sent", "usr_1")
    assert "K7M2QX" not in json.dumps(line)


def test_a_server_that_is_not_there_is_given_up_after_three_tries():
    with Mailbox() as box:
        gone = relay(box)
    lines = post(lambda message: send_by(gone, message), soon)
    assert [line["level"] for line in lines] == ["warning", "warning", "error"]


def test_what_fails_before_there_is_a_mail_is_logged():
    async def broken():
        raise RuntimeError("no such table")

    async def later(post):
        post.later(broken(), user="usr_1")

    (line,) = post(None, later)
    assert (line["level"], line["user"]) == ("error", "usr_1")
    assert "no such table" in line["error"]


def test_too_many_mails_are_refused_and_not_kept(monkeypatch):
    monkeypatch.setattr("farthing.identity.mail.MOST_WAITING", 2)

    async def many(post):
        for _ in range(5):
            post.soon(MAIL, user="usr_1")

    with Mailbox() as box:
        lines = post(lambda message: send_by(relay(box), message), many)
    assert len(box.mails) == 2
    assert [line["event"] for line in lines] == ["mail was not sent: too many wait to be"] * 3


def test_a_mail_says_what_it_is_about():
    code = verification("anna@example.com", "anna", "K7M2QX", 15)
    assert "K7M2QX" in code.text
    assert "15 minutes" in code.text
    linked = reset("anna@example.com", "anna", "tok", 60, "https://app.example.com/")
    assert "https://app.example.com/reset-password#token=tok\n" in linked.text
    assert "\n    tok\n" in reset("anna@example.com", "anna", "tok", 60, "").text
