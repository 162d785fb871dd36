"""The how-to page about the login service does what it says."""

import json
from pathlib import Path

from farthing.identity.login import CODE_MINUTES, RESET_MINUTES
from farthing.identity.sessions import ACCESS_SECONDS, REFRESH_SECONDS
from farthing.identity.throttle import ACCOUNT, ADDRESS, CODE, MAIL, MAIL_ADDRESS, SIGN_UP
from tests.api.login.visitors import mailed
from tests.exchanges import alike, exchanges

PAGE = (Path(__file__).parents[3] / "docs" / "how-to" / "login.md").read_text()


def test_what_is_shown_is_what_is_answered(server, visitor):
    for each in exchanges(PAGE):
        text = each.body.replace("REFRESH", visitor.refresh_token)
        if "CODE" in text:
            text = text.replace("CODE", mailed(server, "anna@example.com"))
        answer = visitor.ask(each.method, each.path, json.loads(text) if text else None)
        assert answer.status == each.status, (each, answer.raw)
        assert alike(each.shown, answer.json), (each, answer.raw)
        visitor.token = answer.json.get("accessToken", visitor.token)
        visitor.refresh_token = answer.json.get("refreshToken", visitor.refresh_token)


def test_the_figures_of_the_page_are_those_of_the_code():
    assert (ACCESS_SECONDS, REFRESH_SECONDS) == (15 * 60, 7 * 86_400)
    assert (CODE_MINUTES, RESET_MINUTES) == (15, 60)
    assert f"after {ACCOUNT.free} for a name, or {ADDRESS.free} from an address" in PAGE
    assert f"one waits {ACCOUNT.first_seconds} s" in PAGE
    assert f"up to {ACCOUNT.most_seconds // 60} minutes" in PAGE
    assert f"{CODE.free} wrong ones" in PAGE
    assert f"{MAIL.free} in an hour to an address, {MAIL_ADDRESS.free} at the wish" in PAGE
    assert f"{SIGN_UP.free} sign-ups" in PAGE
