"""Passwords that were forgotten or are changed; the profile."""

import pytest

from tests.api.login.visitors import PASSWORD, Visitor, a_name, audit, mailed, mails, make_user, signed_in, told

NEW = "battery staple"
SENT = "If your email exists in our system, you will receive a password reset link"


def works(visitor):
    return visitor.ask("GET", "/api/profile").status == 200


def test_a_forgotten_password_is_set_anew_and_ends_all_sessions(server, visitor):
    signed, user = signed_in(server)
    assert works(signed)
    assert visitor.post("forgot-password", {"email": user.email.upper()}).json == {"message": SENT}
    token = mailed(server, user.email)
    assert visitor.post("reset-password", {"token": token, "newPassword": NEW}).json == {
        "message": "Password reset successful"
    }
    assert not works(signed)
    assert told(visitor.post("login", {"username": user.username, "password": PASSWORD}))[0] == 401
    assert visitor.log_in(user.username, NEW).token
    again = visitor.post("reset-password", {"token": token, "newPassword": PASSWORD})
    assert told(again) == (400, "Invalid or expired reset token")
    assert audit(server, user.id, "user.password")[0][2] == {"role": "user", "reason": "reset", "sessions": 1}


def test_the_answer_is_the_same_whether_or_not_there_is_such_a_user(server, visitor):
    user, outsider, stranger = make_user(server), make_user(server, password=""), f"{a_name()}@example.com"
    answers = [visitor.post("forgot-password", {"email": each}) for each in (user.email, outsider.email, stranger)]
    assert len({(answer.status, answer.raw) for answer in answers}) == 1
    mailed(server, user.email)
    assert mails(server, outsider.email) == mails(server, stranger) == []


def test_a_reset_token_is_good_for_an_hour_and_the_newest_only(server, visitor):
    user = make_user(server)
    for _ in range(2):
        visitor.post("forgot-password", {"email": user.email})
    first, second = mailed(server, user.email), mailed(server, user.email, 2)
    for token in (first, "x", second[:-1]):
        answer = visitor.post("reset-password", {"token": token, "newPassword": NEW})
        assert told(answer) == (400, "Invalid or expired reset token")
    server.clock.advance(3600)
    answer = visitor.post("reset-password", {"token": second, "newPassword": NEW})
    assert told(answer) == (400, "Invalid or expired reset token")


def test_a_password_that_is_too_short_does_not_use_the_token_up(server, visitor):
    user = make_user(server)
    visitor.post("forgot-password", {"email": user.email})
    token = mailed(server, user.email)
    short = visitor.post("reset-password", {"token": token, "newPassword": "short"})
    assert told(short) == (400, "NewPassword must have at least 8 characters")
    assert visitor.post("reset-password", {"token": token, "newPassword": NEW}).status == 200


def test_a_reset_verifies_the_address_that_it_was_sent_to(server, visitor):
    user = make_user(server, verified=False)
    visitor.post("forgot-password", {"email": user.email})
    visitor.post("reset-password", {"token": mailed(server, user.email), "newPassword": NEW})
    assert visitor.log_in(user.email, NEW).token


def test_a_token_that_was_sent_to_an_address_of_before_is_good_for_nothing(server, visitor):
    signed, user = signed_in(server)
    visitor.post("forgot-password", {"email": user.email})
    token = mailed(server, user.email)
    signed.ask("PUT", "/api/profile", {"email": f"{a_name()}@example.com"})
    answer = visitor.post("reset-password", {"token": token, "newPassword": NEW})
    assert told(answer) == (400, "Invalid or expired reset token")


@pytest.mark.parametrize(
    ("call", "body", "error"),
    [
        ("forgot-password", {}, "Email is required"),
        ("forgot-password", {"email": 5}, "Email is required"),
        ("reset-password", {"token": "x"}, "Missing required fields"),
        ("reset-password", {"newPassword": NEW}, "Missing required fields"),
    ],
)
def test_what_is_missing_is_told(visitor, call, body, error):
    answer = visitor.post(call, body)
    assert told(answer) == (400, error)


@pytest.mark.parametrize("path", ["/api/change-password", "/api/auth/change-password"])
def test_a_password_is_changed_by_who_knows_it_and_ends_all_sessions(server, visitor, path):
    signed, user = signed_in(server)
    other = Visitor(server).log_in(user.username)
    wrong = signed.ask("POST", path, {"currentPassword": "wrong horse", "newPassword": NEW})
    assert told(wrong) == (400, "Current password is incorrect")
    short = signed.ask("POST", path, {"currentPassword": PASSWORD, "newPassword": "short"})
    assert told(short) == (400, "NewPassword must have at least 8 characters")
    missing = signed.ask("POST", path, {"currentPassword": PASSWORD})
    assert told(missing) == (400, "Missing required fields")
    assert works(other)
    done = signed.ask("POST", path, {"currentPassword": PASSWORD, "newPassword": NEW})
    assert done.json == {"message": "Password changed successfully"}
    assert not works(signed)
    assert not works(other)
    assert visitor.log_in(user.username, NEW).token
    ((actor, _, detail),) = audit(server, user.id, "user.password")
    assert (actor, detail) == (f"user:{user.id}", {"role": "user", "reason": "change", "sessions": 2})


def test_a_present_password_is_not_to_be_guessed(server):
    signed, _ = signed_in(server)
    guess = {"currentPassword": "wrong horse", "newPassword": NEW}
    for _ in range(5):
        assert signed.ask("POST", "/api/change-password", guess).status == 400
    right = {"currentPassword": PASSWORD, "newPassword": NEW}
    assert signed.ask("POST", "/api/change-password", right).status == 429


# The profile


def test_a_profile_is_shown_and_changed(server):
    signed, user = signed_in(server)
    shown = signed.ask("GET", "/api/profile").json["user"]
    assert shown == {
        "_id": user.id,
        "username": user.username,
        "email": user.email,
        "isVerified": True,
        "role": "enduser",
        "createdAt": "2026-01-01T00:00:00.000Z",
        "updatedAt": "2026-01-01T00:00:00.000Z",
    }
    name = a_name()
    changed = signed.ask("PUT", "/api/profile", {"username": name, "role": "admin", "isVerified": False, "_id": "x"})
    assert changed.status == 200
    assert changed.json["user"] | {"updatedAt": ""} == shown | {"username": name, "updatedAt": ""}
    assert signed.ask("GET", "/api/profile").json == changed.json
    ((_, _, detail),) = audit(server, user.id, "user.change")
    assert (detail["before"]["username"], detail["after"]["username"]) == (user.username, name)


def test_a_code_goes_to_each_new_address_also_before_the_last_one_was_verified(server, visitor):
    signed, user = signed_in(server)
    first, second = (f"{a_name()}@example.com" for _ in range(2))
    signed.ask("PUT", "/api/profile", {"email": first})
    old = mailed(server, first)
    signed.ask("PUT", "/api/profile", {"email": second})
    assert visitor.post("verify-email", {"token": old}).status == 400
    assert visitor.post("verify-email", {"token": mailed(server, second)}).status == 200
    assert visitor.log_in(user.username).token


def test_a_new_address_is_verified_again(server, visitor):
    signed, user = signed_in(server)
    address = f"{a_name()}@example.com"
    assert signed.ask("PUT", "/api/profile", {"email": address}).json["user"]["isVerified"] is False
    assert told(visitor.post("login", {"username": user.username, "password": PASSWORD})) == (401, "Email not verified")
    assert works(signed)
    assert visitor.post("verify-email", {"token": mailed(server, address)}).status == 200
    assert visitor.log_in(address).token


def test_other_capitals_are_no_new_address(server):
    signed, user = signed_in(server)
    changed = signed.ask("PUT", "/api/profile", {"email": user.email.capitalize()})
    assert changed.json["user"]["isVerified"] is True
    assert changed.json["user"]["email"] == user.email.capitalize()


def test_what_belongs_to_another_user_can_not_be_taken(server):
    (signed, user), other = signed_in(server), make_user(server)
    taken = signed.ask("PUT", "/api/profile", {"username": other.username.upper()})
    assert told(taken) == (400, "Username already taken")
    assert told(signed.ask("PUT", "/api/profile", {"email": other.email})) == (400, "Email already taken")
    assert told(signed.ask("PUT", "/api/profile", {"username": "a@b"})) == (
        400,
        "Username must have letters, digits, '.', '-', '_' and blanks only, and no '.', '-' or blank at its ends",
    )
    assert signed.ask("PUT", "/api/profile", {}).json["user"]["username"] == user.username
