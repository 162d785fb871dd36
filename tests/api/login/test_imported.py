"""People of another system sign in with the passwords they have, and are hashed anew."""

import bcrypt
import pytest
from argon2 import PasswordHasher

from farthing.stores.users import Users
from tests.api.login.visitors import Visitor, a_name
from tests.api.serving import Server
from tests.importing import bring_to, line

CHEAP = PasswordHasher(time_cost=1, memory_cost=512, parallelism=1)


def stored(server: Server, id: str) -> str:
    user = server.run(Users(server.ledger.database).get("main", id))
    assert user is not None
    return user.password


@pytest.mark.parametrize("beginning", ["$2a$", "$2b$", "$2y$", "$argon2id$"])
def test_who_had_a_password_signs_in_with_it_and_is_hashed_anew(server: Server, beginning: str) -> None:
    name, password = a_name(), "correct horse"
    hashed = CHEAP.hash(password)
    if beginning != "$argon2id$":
        hashed = beginning + bcrypt.hashpw(password.encode(), bcrypt.gensalt(4)).decode()[4:]
    id = f"id-{name}"
    person = {"id": id, "username": name, "email": f"{name}@example.com", "verified": True}
    bring_to(server, [line("user", password=hashed, **person)])
    wrong = Visitor(server).post("login", {"username": name, "password": "wrong horse"})
    assert (wrong.status, stored(server, id)) == (401, hashed)
    Visitor(server).log_in(name, password)
    assert stored(server, id).startswith("$argon2id$")
    assert stored(server, id) != hashed
    Visitor(server).log_in(f"{name}@EXAMPLE.com", password)


def test_of_a_long_password_bcrypts_72_bytes_count_until_it_is_hashed_anew(server: Server) -> None:
    name, password = a_name(), "x" * 100
    hashed = bcrypt.hashpw(b"x" * 72, bcrypt.gensalt(4)).decode()
    bring_to(server, [line("user", id=f"id-{name}", username=name, password=hashed, verified=True)])
    Visitor(server).log_in(name, password)
    assert Visitor(server).post("login", {"username": name, "password": "x" * 72}).status == 401
    Visitor(server).log_in(name, password)


def test_who_comes_without_a_hash_signs_in_elsewhere(server: Server) -> None:
    name = a_name()
    bring_to(server, [line("user", id=f"id-{name}", username=name, email=f"{name}@example.com", role="enduser")])
    assert stored(server, f"id-{name}") == ""
    assert Visitor(server).post("login", {"username": name, "password": "anything"}).status == 401
