"""What an admin does with users: listing, making, registering, roles, removal; all of it in the audit log."""

import pytest

from tests.api.login.visitors import PASSWORD, Visitor, a_name, audit, mailed, mails, make_user, signed_in, told

BOTH_DATABASES = True
USERS = "/api/admin/users"


def wanted(**changed):
    name = a_name()
    return {"username": name, "email": f"{name}@example.com", "password": PASSWORD} | changed


@pytest.mark.parametrize("role", ["user", "supervisor"])
def test_all_of_it_takes_an_admin(server, role):
    visitor, user = signed_in(server, role)
    for method, path, body in (
        ("GET", USERS, None),
        ("GET", f"{USERS}/{user.id}", None),
        ("GET", f"{USERS}/by-email/{user.email}", None),
        ("POST", f"{USERS}/batch", {"users": [wanted()]}),
        ("PUT", f"{USERS}/{user.id}/role", {"role": "admin"}),
        ("DELETE", f"{USERS}/{user.id}", None),
    ):
        assert told(visitor.ask(method, path, body)) == (403, "Admin access required")
    refused = visitor.ask("POST", USERS, wanted(role="admin"))
    assert (refused.status, refused.json) == (
        403,
        {"error": "Admin access required", "message": "Admin access required"},
    )
    assert server.sql("select role from users where id = ?", user.id) == [(role,)]


def test_users_are_listed_page_by_page(server, admin):
    made = {make_user(server).id for _ in range(3)}
    everybody = {user["_id"] for user in admin.ask("GET", USERS).json["users"]}
    assert made < everybody
    seen, cursor = [], ""
    while cursor is not None:
        page = admin.ask("GET", f"{USERS}?limit=2" + (f"&cursor={cursor}" if cursor else "")).json
        seen += [user["_id"] for user in page["users"]]
        cursor = page["nextCursor"]
    assert len(seen) == len(set(seen))
    assert set(seen) == everybody


@pytest.mark.parametrize("query", ["limit=0", "limit=1001", "limit=x", "limit=1.5", "cursor=x"])
def test_a_page_that_is_none_is_refused(admin, query):
    answer = admin.ask("GET", f"{USERS}?{query}")
    assert answer.status == 400
    assert query.split("=")[0] in answer.json["error"]


def test_a_user_is_found_by_id_and_by_address(server, admin):
    user = make_user(server, "supervisor")
    found = admin.ask("GET", f"{USERS}/{user.id}").json["user"]
    assert (found["_id"], found["email"], found["role"]) == (user.id, user.email, "supervisor")
    assert admin.ask("GET", f"{USERS}/by-email/{user.email.upper()}").json == {"user": found}
    for path in (f"{USERS}/usr_nobody", f"{USERS}/by-email/nobody@example.com", f"{USERS}/a%00b"):
        assert told(admin.ask("GET", path)) == (404, "User not found")


def test_a_user_is_made_with_a_password_and_signs_in_once_verified(server, admin):
    new = wanted(role="supervisor")
    made = admin.ask("POST", USERS, new)
    assert (made.status, made.json["message"]) == (201, "User created successfully")
    visitor = Visitor(server)
    assert told(visitor.post("login", new)) == (401, "Email not verified")
    visitor.post("verify-email", {"token": mailed(server, new["email"])})
    assert visitor.post("login", new).json["user"]["role"] == "supervisor"
    ((actor, request_id, detail),) = audit(server, made.json["userId"], "user.create")
    assert actor.startswith("user:usr_")
    assert request_id.startswith("req_")
    assert detail == {
        "role": "admin",
        "after": {"username": new["username"], "email": new["email"], "role": "supervisor", "verified": False},
    }


def test_verification_is_skipped_where_the_admin_says_so(server, admin):
    new = wanted(skipVerification=True)
    assert admin.ask("POST", USERS, new).status == 201
    assert Visitor(server).log_in(new["username"]).token
    assert mails(server, new["email"]) == []


@pytest.mark.parametrize(
    ("changed", "status", "error"),
    [
        ({"username": None}, 400, "Missing required fields"),
        ({"email": ""}, 400, "Missing required fields"),
        ({"password": None}, 400, "Missing required fields"),
        ({"role": "boss"}, 400, "Invalid role"),
        ({"role": 5}, 400, "Invalid role"),
        ({"role": "admin"}, 403, "Creating admin users is restricted"),
        ({"username": "ab"}, 400, "Username must have 3 to 30 characters"),
        ({"email": "x"}, 400, "Email must be an e-mail address, such as anna@example.com"),
        ({"password": "short"}, 400, "Password must have at least 8 characters"),
        ({"skipVerification": "yes"}, 400, "skipVerification must be true or false"),
    ],
)
def test_a_user_that_can_not_be_made_is_refused(server, admin, changed, status, error):
    before = server.sql("select count(*) from users")
    assert told(admin.ask("POST", USERS, wanted(**changed))) == (status, error)
    assert server.sql("select count(*) from users") == before


def test_a_name_that_is_taken_is_told(server, admin):
    there = make_user(server)
    assert told(admin.ask("POST", USERS, wanted(username=there.username))) == (400, "Username already exists")
    assert told(admin.ask("POST", USERS, wanted(email=there.email))) == (400, "Email already exists")


# Who signs in elsewhere


def test_who_signs_in_elsewhere_is_registered_ahead_of_his_first_token(server, admin):
    sub = a_name()
    made = admin.ask("POST", USERS, {"sub": sub, "email": f"{sub}@example.com", "role": "supervisor"})
    assert made.status == 201
    assert made.json == {
        "userId": sub,
        "sub": sub,
        "email": f"{sub}@example.com",
        "username": sub,
        "role": "supervisor",
        "createdAt": "2026-01-01T00:00:00.000Z",
        "updatedAt": "2026-01-01T00:00:00.000Z",
    }
    assert audit(server, sub, "user.register")[0][2]["after"]["username"] == sub
    guess = Visitor(server).post("login", {"username": sub, "password": PASSWORD})
    assert told(guess) == (401, "Invalid credentials")


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"sub": "a\nb"}, "sub must have no control characters"),
        ({"email": None}, "email is missing"),
        ({"email": "x"}, "Email must be an e-mail address, such as anna@example.com"),
        ({"role": None}, "role is missing"),
        ({"role": "boss"}, "role must be user, supervisor or admin"),
        ({"username": "a\0b"}, "username must have no control characters"),
    ],
)
def test_a_registration_that_is_wrong_names_the_field(admin, changed, message):
    sub = a_name()
    answer = admin.ask("POST", USERS, {"sub": sub, "email": f"{sub}@example.com", "role": "user"} | changed)
    assert (answer.status, answer.json) == (400, {"message": message})


def test_a_registration_of_what_is_taken_is_a_conflict(server, admin):
    there, sub = make_user(server), a_name()
    new = {"sub": sub, "email": f"{sub}@example.com", "role": "user"}
    for changed, message in (
        ({"sub": there.id}, "There is a user with this sub already"),
        ({"email": there.email}, "The email belongs to another user"),
        ({"username": there.username}, "The username belongs to another user"),
    ):
        answer = admin.ask("POST", USERS, new | changed)
        assert (answer.status, answer.json) == (409, {"message": message})


def test_a_user_is_either_made_or_registered(admin):
    answer = admin.ask("POST", USERS, wanted(sub="x", role="user"))
    assert told(answer) == (400, "Send either sub (signs in elsewhere) or password (signs in here), not both")


# Several


def test_several_are_made_each_for_himself(server, admin):
    there, new = make_user(server), wanted()
    users = [
        {"username": new["username"], "email": new["email"]},
        {"username": there.username, "email": f"{a_name()}@example.com"},
        {"username": a_name(), "email": f"{a_name()}@example.com", "role": "admin"},
        {"username": "x"},
        {"username": a_name(), "email": f"{a_name()}@example.com", "role": "supervisor"},
    ]
    done = admin.ask("POST", f"{USERS}/batch", {"users": users})
    assert done.status == 201
    assert done.json["message"] == "2 of 5 users created successfully"
    assert done.json["summary"] == {"total": 5, "successful": 2, "failed": 3}
    results = done.json["results"]
    assert [each["success"] for each in results] == [True, False, False, False, True]
    assert [each.get("error") for each in results[1:4]] == [
        "Username already exists",
        "Creating admin users is restricted",
        "Missing required fields",
    ]
    assert mails(server, new["email"]) == []


def test_who_was_made_with_others_sets_his_password_as_if_it_were_forgotten(server, admin, visitor):
    name = a_name()
    admin.ask("POST", f"{USERS}/batch", {"users": [{"username": name, "email": f"{name}@example.com"}]})
    assert told(visitor.post("login", {"username": name, "password": "-"})) == (401, "Invalid credentials")
    visitor.post("forgot-password", {"email": f"{name}@example.com"})
    token = mailed(server, f"{name}@example.com")
    assert visitor.post("reset-password", {"token": token, "newPassword": PASSWORD}).status == 200
    assert visitor.log_in(name).token


@pytest.mark.parametrize("users", [None, [], "x", {}, [1], [{}] * 1_001])
def test_a_batch_that_is_none_is_refused(admin, users):
    answer = admin.ask("POST", f"{USERS}/batch", {"users": users})
    assert told(answer) == (400, "users must be a list of 1 to 1,000 objects")


# Roles and removal


def test_another_role_counts_at_once_and_ends_the_sessions(server, admin):
    visitor, user = signed_in(server, "admin")
    assert visitor.ask("GET", USERS).status == 200
    changed = admin.ask("PUT", f"{USERS}/{user.id}/role", {"role": "enduser"})
    assert changed.json["user"]["role"] == "enduser"
    assert told(visitor.ask("GET", USERS)) == (401, "Invalid token")
    assert told(visitor.log_in(user.username).ask("GET", USERS)) == (403, "Admin access required")
    ((_, _, detail),) = audit(server, user.id, "user.role")
    assert detail == {"role": "admin", "before": {"role": "admin"}, "after": {"role": "user"}}


@pytest.mark.parametrize("role", [None, "boss", 1, "ADMIN"])
def test_a_role_that_is_none_is_refused(server, admin, role):
    user = make_user(server)
    assert told(admin.ask("PUT", f"{USERS}/{user.id}/role", {"role": role})) == (400, "Invalid role")
    assert told(admin.ask("PUT", f"{USERS}/usr_nobody/role", {"role": "user"})) == (404, "User not found")


def test_a_user_is_removed_and_his_sessions_end(server, admin):
    visitor, user = signed_in(server)
    assert visitor.ask("GET", "/api/profile").status == 200
    done = admin.ask("DELETE", f"{USERS}/{user.id}")
    assert done.status == 200
    assert done.json["message"] == "User deleted successfully"
    assert done.json["user"]["_id"] == user.id
    assert told(visitor.ask("GET", "/api/profile")) == (401, "Invalid token")
    assert told(visitor.post("refresh", {"refreshToken": visitor.refresh_token})) == (401, "Invalid refresh token")
    assert told(visitor.post("login", {"username": user.username, "password": PASSWORD}))[0] == 401
    assert told(admin.ask("DELETE", f"{USERS}/{user.id}")) == (404, "User not found")
    assert audit(server, user.id, "user.remove")[0][2]["before"]["username"] == user.username
    assert make_user(server, name=user.username).id != user.id


def test_nobody_removes_himself_or_another_admin(server):
    visitor, user = signed_in(server, "admin")
    other = make_user(server, "admin")
    assert told(visitor.ask("DELETE", f"{USERS}/{user.id}")) == (400, "Cannot delete your own account")
    assert told(visitor.ask("DELETE", f"{USERS}/{other.id}")) == (403, "Cannot delete another admin user")
    assert visitor.ask("GET", f"{USERS}/{other.id}").status == 200
