"""Sessions: signing in, refreshing, reuse of a token that was used, cookies, signing out."""

import json
from base64 import urlsafe_b64decode
from concurrent.futures import ThreadPoolExecutor
from http.cookies import SimpleCookie

import bcrypt
import pytest
from argon2 import PasswordHasher

from farthing.core.people import Person
from farthing.stores.users import Users
from tests.api.login.visitors import HASH, PASSWORD, Visitor, audit, make_user, signed_in, told

BOTH_DATABASES = True


def claims(token):
    part = token.split(".")[1]
    return json.loads(urlsafe_b64decode(part + "=" * (-len(part) % 4)))


def works(visitor):
    answer = visitor.ask("GET", "/api/profile")
    assert answer.status == 200 or told(answer) == (401, "Invalid token")
    return answer.status == 200


def test_a_token_says_who_bears_it_and_for_how_long(server):
    visitor, user = signed_in(server, "supervisor")
    said = claims(visitor.token)
    assert said["exp"] - said["iat"] == 15 * 60
    assert said["iss"] == "farthing:main"
    names = ("sub", "username", "email", "role", "type")
    assert [said[name] for name in names] == [user.id, user.username, user.email, "supervisor", "access"]
    later = claims(visitor.refresh_token)
    assert later["exp"] - later["iat"] == 7 * 24 * 3600
    assert (later["type"], later["sid"]) == ("refresh", said["sid"])


def test_a_name_and_an_address_sign_in_whatever_their_capitals(server, visitor):
    user = make_user(server)
    for name in (user.username, user.username.upper(), user.email, f" {user.email.upper()} "):
        assert visitor.log_in(name).token


@pytest.mark.parametrize("body", [{}, {"username": "anna"}, {"password": "x"}, {"username": "", "password": "x"}, []])
def test_signing_in_takes_name_and_password(visitor, body):
    error = "Missing required fields" if isinstance(body, dict) else "The body must be a JSON object."
    assert told(visitor.post("login", body)) == (400, error)


def test_a_token_opens_the_accounting_dialect_as_well(server):
    visitor, _ = signed_in(server)
    assert visitor.ask("GET", "/api/credits/balance").json == {"totalCredits": 0, "activeAllocations": []}


def test_a_refresh_token_is_no_access_token(server):
    visitor, _ = signed_in(server)
    visitor.token = visitor.refresh_token
    assert told(visitor.ask("GET", "/api/profile")) == (401, "Invalid token type")


def test_an_access_token_refreshes_nothing(server):
    visitor, _ = signed_in(server)
    assert told(visitor.post("refresh", {"refreshToken": visitor.token})) == (401, "Invalid refresh token")
    assert works(visitor)


def test_refreshing_gives_the_next_tokens(server):
    visitor, _ = signed_in(server)
    answer = visitor.post("refresh", {"refreshToken": visitor.refresh_token})
    assert set(answer.json) == {"message", "accessToken", "refreshToken"}
    assert answer.json["message"] == "Token refreshed successfully"
    again = visitor.post("refresh", {"refreshToken": answer.json["refreshToken"]})
    assert again.status == 200
    visitor.token = again.json["accessToken"]
    assert works(visitor)


def test_a_refresh_token_that_was_used_ends_the_session_for_all(server):
    visitor, user = signed_in(server)
    other = Visitor(server).log_in(user.username)
    stolen = visitor.refresh_token
    fresh = visitor.post("refresh", {"refreshToken": stolen}).json
    visitor.token = fresh["accessToken"]
    assert works(visitor)
    assert told(visitor.post("refresh", {"refreshToken": stolen})) == (401, "Invalid refresh token")
    assert told(visitor.post("refresh", {"refreshToken": fresh["refreshToken"]})) == (401, "Invalid refresh token")
    assert not works(visitor)
    assert works(other)
    ((actor, request_id, detail),) = audit(server, user.id, "session.end")
    assert (actor, detail) == (f"user:{user.id}", {"role": "user", "reason": "reuse", "sessions": 1})
    assert request_id.startswith("req_")


def test_of_many_refreshes_at_once_one_wins_at_most_and_the_session_ends(server):
    visitor, _ = signed_in(server)

    def refresh(_):
        return visitor.post("refresh", {"refreshToken": visitor.refresh_token})

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(refresh, range(8)))
    assert sorted(answer.status for answer in answers) == [200] + [401] * 7
    (winner,) = [answer for answer in answers if answer.status == 200]
    assert told(visitor.post("refresh", winner.json)) == (401, "Invalid refresh token")


@pytest.mark.parametrize("token", ["x", "a.b.c", "\u00fc", "x" * 5_000])
def test_garbage_refreshes_nothing(visitor, token):
    assert told(visitor.post("refresh", {"refreshToken": token})) == (401, "Invalid refresh token")


@pytest.mark.parametrize("body", [{}, {"refreshToken": None}, {"refreshToken": ""}])
def test_refreshing_needs_a_token(visitor, body):
    assert told(visitor.post("refresh", body)) == (400, "Refresh token is required")


def test_signing_out_ends_the_session_at_once(server):
    visitor, user = signed_in(server)
    other = Visitor(server).log_in(user.username)
    assert works(visitor)
    answer = visitor.post("logout")
    assert answer.json == {"message": "Logout successful"}
    assert not works(visitor)
    assert told(visitor.post("refresh", {"refreshToken": visitor.refresh_token})) == (401, "Invalid refresh token")
    assert works(other)
    assert told(visitor.post("logout")) == (401, "Invalid token")


def test_signing_out_ends_the_session_of_a_refresh_token_that_is_sent_along_if_it_is_ones_own(server):
    visitor, user = signed_in(server)
    own, (stranger, _) = Visitor(server).log_in(user.username), signed_in(server)
    assert visitor.post("logout", {"refreshToken": own.refresh_token}).status == 200
    assert not works(own)
    visitor.log_in(user.username)
    assert visitor.post("logout", {"refreshToken": stranger.refresh_token}).status == 200
    assert works(stranger)
    visitor.log_in(user.username)
    assert visitor.post("logout", {"refreshToken": "garbage"}).status == 200


def test_signing_out_everywhere_ends_all_sessions(server):
    visitor, user = signed_in(server)
    others = [Visitor(server).log_in(user.username) for _ in range(2)]
    assert all(map(works, others))
    assert visitor.post("logout-all").json == {"message": "Logged out from all devices"}
    assert not any(map(works, [visitor, *others]))
    assert works(Visitor(server).log_in(user.username))
    assert audit(server, user.id, "session.end")[-1][2] == {"role": "user", "reason": "logout-all", "sessions": 3}


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/api/auth/logout"),
        ("POST", "/api/auth/logout-all"),
        ("POST", "/api/auth/change-password"),
        ("POST", "/api/change-password"),
        ("GET", "/api/profile"),
        ("PUT", "/api/profile"),
        ("GET", "/api/admin/users"),
    ],
)
def test_what_takes_a_token_says_so(server, visitor, method, path):
    for headers in ({}, {"Authorization": "Basic eA=="}, {"X-API-Key": server.key}):
        answer = visitor.ask(method, path, None if method == "GET" else {}, **headers)
        assert told(answer) == (401, "Authentication token required")
        assert answer.headers["www-authenticate"] == 'Bearer realm="farthing"'
    for sent in ({"Authorization": "Bearer x.y.z"}, {"Cookie": "accessToken=x.y.z"}):
        answer = visitor.ask(method, path, None, **sent)
        assert told(answer) == (401, "Invalid token")
        assert answer.headers["www-authenticate"] == 'Bearer realm="farthing", error="invalid_token"'


def test_what_is_not_there_is_told_in_the_words_of_the_face(visitor):
    assert told(visitor.ask("GET", "/api/auth/nothing")) == (404, "There is no such path; see /docs.")
    wrong = visitor.ask("GET", "/api/auth/login")
    assert told(wrong) == (405, "This path takes POST, not GET.")
    assert wrong.headers["allow"] == "POST, OPTIONS"
    assert visitor.post("login", b"{").status == 400
    assert visitor.post("login", b"x" * 1_000_001).status == 413
    assert visitor.post("login", b"{}", Content_Type="text/plain").status == 415
    assert visitor.post("login", b"{}", Content_Type="").status == 415


# Cookies


def cookies(server, visitor, user, **headers):
    """The cookies of a login: http.client joins what comes twice, so they are read one by one."""
    import http.client

    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    body = json.dumps({"username": user.username, "password": PASSWORD})
    fields = {"Content-Type": "application/json", "X-Forwarded-For": visitor.address, **headers}
    connection.request("POST", "/api/auth/login", body, fields)
    response = connection.getresponse()
    response.read()
    found = [SimpleCookie(text) for text in response.headers.get_all("set-cookie", [])]
    connection.close()
    return {name: morsel for each in found for name, morsel in each.items()}


def test_cookies_are_for_no_script_and_no_other_site(server, visitor):
    user = make_user(server)
    plain = cookies(server, visitor, user)
    assert {name: morsel["path"] for name, morsel in plain.items()} == {
        "accessToken": "/",
        "refreshToken": "/api/auth",
    }
    assert [plain[name]["max-age"] for name in ("accessToken", "refreshToken")] == ["900", "604800"]
    for morsel in plain.values():
        assert (morsel["httponly"], morsel["samesite"], morsel["secure"]) == (True, "Strict", "")
    safe = cookies(server, visitor, user, **{"X-Forwarded-Proto": "https"})
    assert all(morsel["secure"] for morsel in safe.values())


def test_a_cookie_is_as_good_as_a_header_and_wins_where_both_refresh(server, visitor):
    user = make_user(server)
    given = {name: morsel.value for name, morsel in cookies(server, visitor, user).items()}
    text = "theme=dark; " + "; ".join(f"{name}={value}" for name, value in given.items())
    assert visitor.ask("GET", "/api/profile", Cookie=text).json["user"]["_id"] == user.id
    fresh = visitor.post("refresh", {"refreshToken": "garbage"}, Cookie=text)
    assert fresh.status == 200
    assert visitor.post("logout", Cookie=f"accessToken={fresh.json['accessToken']}").status == 200
    assert visitor.ask("GET", "/api/profile", Cookie=text).status == 401


def test_a_cookie_counts_only_for_pages_of_the_same_host(server, visitor):
    user = make_user(server)
    given = {name: morsel.value for name, morsel in cookies(server, visitor, user).items()}
    text = "; ".join(f"{name}={value}" for name, value in given.items())
    for origin in ("https://evil.example.com", "null", "http://127.0.0.1.evil.example.com"):
        for call in ("logout", "logout-all", "refresh"):
            assert visitor.post(call, Cookie=text, Origin=origin).status == 403
    assert visitor.post("logout", Cookie=text, Origin="http://127.0.0.1:3000").status == 200


def test_signing_out_takes_the_cookies_away(server, visitor):
    visitor, _ = signed_in(server)
    assert "Max-Age=0" in visitor.post("logout").headers["set-cookie"]


# Hashes of other systems


def test_a_bcrypt_hash_signs_in_and_becomes_argon2id(server, visitor):
    old = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4)).decode()
    user = make_user(server, password=old)
    answer = visitor.post("login", {"username": user.username, "password": "wrong horse"})
    assert told(answer) == (401, "Invalid credentials")
    assert visitor.log_in(user.username).token
    ((kept,),) = server.sql("select password from users where id = ?", user.id)
    assert kept.startswith("$argon2id$")
    assert visitor.log_in(user.username).token


def test_a_hash_of_less_work_is_made_anew(server, visitor):
    user = make_user(server, password=PasswordHasher(time_cost=1, memory_cost=1_024, parallelism=1).hash(PASSWORD))
    visitor.log_in(user.username)
    ((kept,),) = server.sql("select password from users where id = ?", user.id)
    assert kept.split("$")[3] == HASH.split("$")[3]


def test_no_other_service_renames_who_signs_in_here_or_makes_an_admin_of_him(server, visitor):
    signed, user = signed_in(server)
    claimed = Person(id=user.id, username="hijacked", email="hijacked@example.com", role="admin")
    assert server.run(Users(server.ledger.database).follow("main", claimed, server.clock.now_us())) == user
    assert signed.ask("GET", "/api/admin/users").status == 403
    assert visitor.log_in(user.username).token


def test_who_signs_in_elsewhere_has_no_password_here(server, visitor):
    for password in ("", "-"):
        user = make_user(server, password=password)
        for guess in ("", "-", PASSWORD):
            answer = visitor.post("login", {"username": user.username, "password": guess})
            assert answer.status in (400, 401)
        server.clock.advance(3600)
