"""`farthing users`: people are made, shown, changed and removed; the first admin comes from here."""

import sqlite3

import pytest

PASSWORD = "correct horse\n"


def create(cli, name="anna", *words, input=PASSWORD):
    found = cli.ok("users", "create", name, "--email", f"{name}@example.com", *words, "--password-stdin", input=input)
    return found


def stored(name):
    with sqlite3.connect("farthing.db") as db:
        return db.execute("select password, verified, role from users where username = ?", (name,)).fetchone()


def test_the_first_admin_is_made_verified_with_a_password(ledger):
    made = create(ledger, "boss", "--role", "admin")
    assert made["id"].startswith("usr_")
    facts = {name: made[name] for name in ("username", "email", "role", "verified", "signs_in", "workspace")}
    assert facts == {
        "username": "boss",
        "email": "boss@example.com",
        "role": "admin",
        "verified": True,
        "signs_in": "here",
        "workspace": "main",
    }
    password, verified, role = stored("boss")
    assert password.startswith("$argon2id$")
    assert (verified, role) == (1, "admin")


@pytest.mark.parametrize("role", ["user", "enduser", "supervisor"])
def test_other_roles_are_made_as_well(ledger, role):
    made = create(ledger, "anna", "--role", role, "--unverified")
    assert made["role"] == ("user" if role == "enduser" else role)
    assert made["verified"] is False


def test_a_user_without_a_password_is_told_how_he_gets_one(ledger):
    done = ledger("users", "create", "anna", "--email", "anna@example.com")
    assert done.code == 0
    assert "anna, user" in done.out
    assert "no password yet" in done.err
    assert stored("anna")[0] == "-"


@pytest.mark.parametrize(
    ("words", "input", "field"),
    [
        (("ab", "--email", "a@example.com", "--password-stdin"), PASSWORD, "name"),
        (("a@b", "--email", "a@example.com", "--password-stdin"), PASSWORD, "name"),
        (("anna", "--email", "anna", "--password-stdin"), PASSWORD, "email"),
        (("anna", "--email", "a@example.com", "--role", "boss", "--password-stdin"), PASSWORD, "role"),
        (("anna", "--email", "a@example.com", "--password-stdin"), "short\n", "password"),
        (("anna", "--email", "a@example.com", "--password-stdin"), "", "password"),
        (("anna", "--email", "a@example.com", "--password-stdin"), "two\nlines of it\n", "password"),
        (("anna", "--email", "a@example.com", "--password-stdin"), b"\xff" * 9, "password"),
    ],
)
def test_what_no_user_can_have_is_refused_by_its_field(ledger, words, input, field):
    code, name, message = ledger.fails("users", "create", *words, input=input)
    assert (code, name) == (2, "invalid")
    assert message.startswith(f"{field} must")
    assert ledger.ok("users", "list")["data"] == []


def test_a_name_and_an_address_belong_to_one_user(ledger):
    create(ledger)
    words = ("--password-stdin",)
    taken = ledger.fails("users", "create", "ANNA", "--email", "b@example.com", *words, input=PASSWORD)
    assert taken == (1, "username_taken", "username belongs to another user")
    taken = ledger.fails("users", "create", "ben", "--email", "Anna@example.com", *words, input=PASSWORD)
    assert taken == (1, "email_taken", "email belongs to another user")


def test_a_user_is_found_by_id_name_and_address(ledger):
    made = create(ledger)
    for who in (made["id"], "ANNA", "anna@EXAMPLE.com"):
        assert ledger.ok("users", "show", who) == made
    assert [user["id"] for user in ledger.ok("users", "list")["data"]] == [made["id"]]
    assert "anna@example.com" in ledger.told("users", "list")


@pytest.mark.parametrize(
    "words",
    [("show",), ("role", "admin"), ("password", "--password-stdin"), ("remove", "--yes"), ("sessions",), ("logout",)],
)
def test_who_is_not_there_is_told(ledger, words):
    command, *rest = words
    assert ledger.fails("users", command, "nobody", *rest, input=PASSWORD)[:2] == (1, "user_not_found")


def test_a_role_and_a_password_are_changed_and_a_user_is_removed(ledger):
    made = create(ledger)
    assert ledger.ok("users", "role", "anna", "supervisor")["before"] == "user"
    before = stored("anna")[0]
    assert ledger.fails("users", "password", "anna")[:2] == (2, "invalid")
    ledger.ok("users", "password", "anna", "--password-stdin", input="battery staple\n")
    assert stored("anna")[0] != before
    assert ledger.ok("users", "sessions", "anna")["data"] == []
    assert ledger.ok("users", "logout", "anna")["ended"] == 0
    assert ledger.fails("users", "remove", "anna")[:2] == (1, "confirmation_needed")
    assert ledger.ok("users", "remove", "anna", "--yes")["id"] == made["id"]
    assert ledger.ok("users", "list")["data"] == []


def test_each_change_is_in_the_audit_log(ledger):
    made = create(ledger)
    ledger.ok("users", "role", "anna", "admin")
    ledger.ok("users", "password", "anna", "--password-stdin", input=PASSWORD)
    ledger.ok("users", "remove", "anna", "--yes")
    with sqlite3.connect("farthing.db") as db:
        rows = db.execute("select actor, action from audit where subject = ? order by position", (made["id"],))
        found = rows.fetchall()
    assert [action for _, action in found] == ["user.create", "user.role", "user.password", "user.remove"]
    assert all(actor.startswith("cli:") for actor, _ in found)


def test_a_password_is_in_no_output(ledger):
    done = ledger(
        "users", "create", "anna", "--email", "anna@example.com", "--password-stdin", "--json", input=PASSWORD
    )  # fmt: skip
    assert "correct horse" not in done.out + done.err
    assert "argon2" not in done.out + done.err


def test_users_of_another_workspace_are_not_there(ledger):
    ledger.ok("workspace", "create", "shop")
    create(ledger, "anna", "--workspace", "shop")
    assert ledger.fails("users", "show", "anna", "--workspace", "main")[:2] == (1, "user_not_found")
    create(ledger, "anna", "--workspace", "main")
