"""Signing up, verifying an address, and what both refuse."""

import pytest

from farthing.core.people import Person
from farthing.stores.users import Users
from tests.api.login.visitors import (
    PASSWORD,
    Visitor,
    a_name,
    audit,
    mailed,
    mails,
    make_user,
    signed_in,
    told,
)
from tests.api.serving import ME, wait_for

BOTH_DATABASES = True


def form(name="", **changed):
    name = name or a_name()
    return {"username": name, "email": f"{name}@example.com", "password": PASSWORD} | changed


def test_somebody_signs_up_verifies_his_address_and_signs_in(server, visitor):
    wanted = form()
    made = visitor.post("signup", wanted)
    assert made.status == 201
    assert made.json["message"] == "User registered successfully. Please verify your email."
    assert told(visitor.post("login", wanted)) == (401, "Email not verified")
    code = mailed(server, wanted["email"])
    assert len(code) == 6
    assert visitor.post("verify-email", {"token": code.lower()}).json == {"message": "Email verified successfully"}
    answer = visitor.post("login", wanted)
    assert answer.json["message"] == "Login successful"
    assert answer.json["user"] == {
        "id": made.json["userId"],
        "username": wanted["username"],
        "email": wanted["email"],
        "isVerified": True,
        "role": "enduser",
    }
    actor = f"user:{made.json['userId']}"
    assert [row[0] for row in audit(server, made.json["userId"], "user.create")] == [actor]
    assert [row[0] for row in audit(server, made.json["userId"], "user.verify")] == [actor]


@pytest.mark.parametrize("name", ["username", "email", "password"])
@pytest.mark.parametrize("value", [None, "", 5, ["x"], {"a": 1}, True])
def test_what_is_missing_or_no_text_is_named(visitor, name, value):
    answer = visitor.post("signup", form(**{name: value}))
    assert told(answer) == (400, "Missing required fields")
    assert name in answer.json["details"]


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"username": "ab"}, "username"),
        ({"username": "a" * 31}, "username"),
        ({"username": "anna@example.com"}, "username"),
        ({"username": "an\tna"}, "username"),
        ({"username": " anna"}, "username"),
        ({"username": "an\u200bna"}, "username"),
        ({"username": "\uff21nna"}, "username"),
        ({"username": "\u0430nna"}, "username"),  # a Cyrillic letter among Latin ones
        ({"email": "anna"}, "email"),
        ({"email": "anna@localhost"}, "email"),
        ({"email": "an na@example.com"}, "email"),
        ({"email": "anna@example.com\r\nBcc: all@example.com"}, "email"),
        ({"email": "ann\u00e4@example.com"}, "email"),
        ({"email": "a" * 250 + "@example.com"}, "email"),
        ({"password": "1234567"}, "password"),
        ({"password": "x" * 1_025}, "password"),
    ],
)
def test_what_no_user_can_have_is_refused_and_named(server, visitor, changed, field):
    before = server.sql("select count(*) from users")
    answer = visitor.post("signup", form(**changed))
    assert told(answer) == (400, "Registration failed")
    assert answer.json["details"].startswith(field)
    assert server.sql("select count(*) from users") == before


def test_a_name_or_an_address_belongs_to_one_user_whatever_its_capitals(server, visitor):
    there = make_user(server)
    assert told(visitor.post("signup", form(username=there.username.upper()))) == (400, "Username already exists")
    assert told(visitor.post("signup", form(email=there.email.upper()))) == (400, "Email already exists")
    assert Visitor(server, "other.example.com").post("signup", form(there.username)).status == 201


def test_fields_that_signing_up_does_not_have_never_count(server, visitor):
    wanted = form(role="admin", verified=True, isVerified=True, id="usr_boss", workspace="other", userId="x")
    made = visitor.post("signup", wanted)
    assert made.status == 201
    rows = server.sql("select workspace, role, verified from users where id = ?", made.json["userId"])
    assert rows == [("main", "user", 0)]


def test_a_code_is_good_once_and_the_newest_only(server, visitor):
    wanted = form()
    visitor.post("signup", wanted)
    first = mailed(server, wanted["email"])
    assert visitor.post("resend-verification", {"email": wanted["email"]}).json == {
        "message": "Verification code resent"
    }
    second = mailed(server, wanted["email"], 2)
    assert told(visitor.post("verify-email", {"token": first})) == (400, "Email verification failed")
    assert visitor.post("verify-email", {"token": second}).status == 200
    assert told(visitor.post("verify-email", {"token": second})) == (400, "Email verification failed")


def test_a_code_ends_after_15_minutes(server, visitor):
    wanted = form()
    visitor.post("signup", wanted)
    code = mailed(server, wanted["email"])
    server.clock.advance(15 * 60)
    assert told(visitor.post("verify-email", {"token": code})) == (400, "Email verification failed")


def test_an_address_is_not_kept_for_who_never_showed_that_it_is_his(server, visitor):
    squatter = form()
    visitor.post("signup", squatter)
    owner = form(email=squatter["email"])
    assert told(visitor.post("signup", owner)) == (400, "Email already exists")
    server.clock.advance(24 * 3_600 + 1)
    assert visitor.post("signup", owner).status == 201
    visitor.post("verify-email", {"token": mailed(server, owner["email"], 2)})
    assert visitor.post("login", owner).status == 200
    # Who has shown it keeps it.
    assert told(visitor.post("signup", squatter)) == (400, "Email already exists")


def test_an_address_is_not_kept_from_who_comes_with_it_from_elsewhere(server, visitor):
    squatter = form()
    visitor.post("signup", squatter)
    server.clock.advance(24 * 3_600 + 1)
    person = Person(id=f"sub-{squatter['username']}", username=a_name(), email=squatter["email"], role="user")
    server.run(Users(server.ledger.database).follow("main", person, server.clock.now_us()))
    admin, _ = signed_in(server, "admin")
    answer = admin.ask("POST", "/api/credits/allocate-by-email", {"email": squatter["email"], "credits": 5})
    assert (answer.status, answer.json["userId"]) == (201, person.id)


def test_credits_for_an_address_never_go_to_who_only_says_that_it_is_his(server, visitor):
    admin, _ = signed_in(server, "admin")
    wanted = form()
    user = visitor.post("signup", wanted).json["userId"]
    gift = {"email": wanted["email"], "credits": 5}
    answer = admin.ask("POST", "/api/credits/allocate-by-email", gift)
    assert (answer.status, answer.json["message"]) == (
        404,
        f"User with email '{wanted['email']}' not found. Cannot allocate credits.",
    )
    visitor.post("verify-email", {"token": mailed(server, wanted["email"])})
    answer = admin.ask("POST", "/api/credits/allocate-by-email", gift)
    assert (answer.status, answer.json["userId"]) == (201, user)


def test_a_code_is_not_kept_as_it_is(server, visitor):
    wanted = form()
    visitor.post("signup", wanted)
    code = mailed(server, wanted["email"])
    kept = server.sql("select hash from login_code where email_key = ?", wanted["email"])
    assert len(kept) == 1
    assert code.encode() not in bytes(kept[0][0])


def test_a_code_of_one_workspace_is_nothing_in_another(server, visitor):
    wanted = form()
    visitor.post("signup", wanted)
    code = mailed(server, wanted["email"])
    elsewhere = Visitor(server, "other.example.com")
    assert told(elsewhere.post("verify-email", {"token": code})) == (400, "Email verification failed")
    assert visitor.post("verify-email", {"token": code}).status == 200


@pytest.mark.parametrize(("call", "error"), [("verify-email", "Token is required")])
def test_verifying_needs_a_code(visitor, call, error):
    assert told(visitor.post(call)) == (400, error)


def test_asking_for_another_code_needs_an_address(visitor):
    assert told(visitor.post("resend-verification")) == (400, "Email is required")


def test_a_verified_user_is_sent_no_code_and_nobody_is_told(server, visitor):
    user, stranger = make_user(server), f"{a_name()}@example.com"
    answers = [visitor.post("resend-verification", {"email": email}) for email in (user.email, stranger)]
    assert answers[0].raw == answers[1].raw
    unverified = make_user(server, verified=False)
    visitor.post("resend-verification", {"email": unverified.email})
    mailed(server, unverified.email)
    assert mails(server, user.email) == mails(server, stranger) == []


def test_a_workspace_that_closed_signing_up_says_so(server):
    visitor, wanted = Visitor(server, "other.example.com"), form()
    server.run(server.ledger.access.change_settings("other", {"signup": "closed"}, ME))
    try:
        wait_for(lambda: visitor.post("signup", form(password="x")).status == 403)
        assert told(visitor.post("signup", wanted)) == (403, "Signing up is closed here: an admin makes users")
        assert server.sql("select count(*) from users where username = ?", wanted["username"]) == [(0,)]
    finally:
        server.run(server.ledger.access.change_settings("other", {"signup": "open"}, ME))
        wait_for(lambda: visitor.post("signup", form(password="x")).status == 400)


def test_a_user_of_one_workspace_is_nothing_in_another(server):
    visitor, user = signed_in(server, "admin")
    elsewhere = Visitor(server, "other.example.com")
    wanted = {"username": user.username, "password": PASSWORD}
    assert told(elsewhere.post("login", wanted)) == (401, "Invalid credentials")
    assert told(elsewhere.post("refresh", {"refreshToken": visitor.refresh_token})) == (401, "Invalid refresh token")
    stranger = make_user(server, workspace="other")
    assert told(visitor.ask("GET", f"/api/admin/users/{stranger.id}")) == (404, "User not found")
    assert told(visitor.ask("GET", f"/api/admin/users/by-email/{stranger.email}")) == (404, "User not found")
    assert told(visitor.ask("DELETE", f"/api/admin/users/{stranger.id}")) == (404, "User not found")
    # His token says whose he is, whatever host he asks.
    elsewhere.token = visitor.token
    assert elsewhere.ask("GET", "/api/profile").json["user"]["_id"] == user.id
    assert {each["_id"] for each in elsewhere.ask("GET", "/api/admin/users").json["users"]}.isdisjoint({stranger.id})
