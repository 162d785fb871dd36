"""Allocations in the accounting dialect: giving, setting, correcting, listing; each once, noted, all or nothing."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from farthing.api.endpoint import write_time
from farthing.core.commands import GiveGrant, PlaceHold, SetAccount, TakeCharge
from farthing.stores.users import Users
from tests.api.accounting.people import Person, somebody, told
from tests.support import UNIT

BOTH_DATABASES = True
DAY = 86_400


def in_days(server, days):
    return write_time(server.clock.now_us() + days * DAY * 1_000_000)


def is_unchanged(server, person, before):
    return server.entries(person.id) == before


# Giving


def test_an_allocation_is_told_as_it_was_given(server, user, boss):
    given = boss.allocate(user, 100.5, expiryDays=7, notes="Welcome")
    assert given == {
        "id": given["id"],
        "userId": user.id,
        "totalCredits": 100.5,
        "remainingCredits": 100.5,
        "expiresAt": in_days(server, 7),
    }
    assert given["id"].startswith("grt_")
    entry = server.entries(user.id)[0]
    assert (entry.kind, entry.description, entry.actor) == ("grant", "Welcome", f"user:{boss.id}")
    answer = boss.post("credits/allocate", {"userId": user.id, "credits": 1})
    assert (answer.status, answer.json["expiresAt"]) == (201, in_days(server, 30))


@pytest.mark.parametrize("days", [b"7", b"7.0", b"7e0", b"36500"])
def test_days_are_a_whole_number_however_it_is_written(server, user, boss, days):
    given = boss.done(
        "POST", "credits/allocate", b'{"userId": "%s", "credits": 1, "expiryDays": %s}' % (user.id.encode(), days)
    )
    assert given["expiresAt"] == in_days(server, 36_500 if days == b"36500" else 7)


def test_a_user_is_found_by_id_name_and_address(user, boss):
    for named in (user.id, f"name-of-{user.id}", f"NAME-OF-{user.id}", f"{user.id}@Example.Com"):
        assert boss.allocate(named, 1)["userId"] == user.id
    assert user.total == 4


def test_an_id_is_never_taken_for_the_name_of_another(server, user, boss):
    """Also where its account has no record of a user: nobody gets what was meant for it by taking its name."""
    server.do(GiveGrant(workspace="main", account=f"old-{user.id}", amount=UNIT))
    thief = Person(server, f"thief-{user.id}", username=f"old-{user.id}")
    assert thief.total == 0
    assert boss.allocate(f"old-{user.id}", 5)["userId"] == f"old-{user.id}"
    assert thief.total == 0


def test_an_address_is_never_taken_for_the_name_of_another(server, user, boss):
    """Who calls himself by the address of another gets nothing of what is meant for it, whoever came first."""
    address = f"rich-{user.id}@example.com"
    thief = Person(server, f"thief-of-{user.id}", username=address)
    assert thief.total == 0
    answer = boss.post("credits/allocate", {"userId": address, "credits": 5})
    assert told(answer) == (404, f"User '{address}' not found")
    owner = Person(server, f"owner-of-{user.id}", email=address)
    assert owner.total == 0
    assert boss.allocate(address, 5)["userId"] == owner.id
    assert boss.get(f"credits/balance/{address}")["totalCredits"] == 5
    assert thief.total == 0
    # Nor does who sets roles and passwords by names take one for the other.
    found = server.run(Users(server.ledger.database).find("main", address))
    assert found.id == owner.id


def test_a_name_follows_its_user(server, user, boss):
    user.username = f"new-{user.id}"
    assert user.total == 0
    assert boss.allocate(f"new-{user.id}", 1)["userId"] == user.id
    answer = boss.post("credits/allocate", {"userId": f"name-of-{user.id}", "credits": 1})
    assert told(answer) == (404, f"User 'name-of-{user.id}' not found")


def test_an_admin_allocates_by_address(server, user, admin):
    body = {"email": f"{user.id.upper()}@example.com", "credits": 5, "expiryDays": 2}
    given = admin.done("POST", "credits/allocate-by-email", body)
    assert given == {
        "id": given["id"],
        "userId": user.id,
        "email": f"{user.id}@example.com",
        "totalCredits": 5,
        "remainingCredits": 5,
        "expiresAt": in_days(server, 2),
    }


def test_what_is_given_first_repays_debt(server, user, boss):
    boss.allocate(user, 5)
    server.do(TakeCharge(workspace="main", account=user.id, amount=8 * UNIT, shortfall="debt"))
    assert user.total == -3
    given = boss.allocate(user, 10)
    assert (given["totalCredits"], given["remainingCredits"]) == (10, 7)
    assert user.total == 7


@pytest.mark.parametrize(
    ("method", "path", "more"),
    [
        ("POST", "credits/allocate", {"credits": 1}),
        ("POST", "credits/set", {"credits": 1}),
        ("DELETE", "credits/remove", {"credits": 1}),
        ("PUT", "credits/adjust", {"adjustment": 1}),
        ("PUT", "credits/adjust", {"adjustment": -1}),
    ],
)
def test_a_user_whom_nobody_knows_is_not_found_and_not_made(server, admin, account, method, path, more):
    before = server.count()
    answer = admin.send(method, path, {"userId": account, **more})
    assert told(answer) == (404, f"User '{account}' not found")
    assert server.count() == before
    assert told(admin.send("GET", f"credits/balance/{account}")) == (404, "User not found")


def test_an_address_that_nobody_has_gets_nothing(server, admin):
    before = server.count()
    answer = admin.post("credits/allocate-by-email", {"email": "no@example.com", "credits": 1})
    assert told(answer) == (404, "User with email 'no@example.com' not found. Cannot allocate credits.")
    assert server.count() == before


def test_a_user_of_another_workspace_is_nobody_here(server, boss):
    stranger = somebody(server, workspace="other")
    for named in (stranger.id, f"name-of-{stranger.id}", f"{stranger.id}@example.com"):
        answer = boss.post("credits/allocate", {"userId": named, "credits": 1})
        assert told(answer) == (404, f"User '{named}' not found")
    assert stranger.total == 0


# To himself


@pytest.mark.parametrize(
    ("method", "path", "more"),
    [
        ("POST", "credits/allocate", {"credits": 1}),
        ("POST", "credits/set", {"credits": 1}),
        ("PUT", "credits/adjust", {"adjustment": 1}),
    ],
)
def test_a_supervisor_gives_nothing_to_himself_by_whatever_name(server, boss, method, path, more):
    for named in (boss.id, f"name-of-{boss.id}", f"{boss.id}@example.com"):
        status, sentence = told(boss.send(method, path, {"userId": named, "role": "admin", **more}))
        assert (status, "to himself" in sentence) == (403, True)
    assert server.entries(boss.id) == []


def test_a_supervisor_may_take_from_himself_and_an_admin_may_give_to_himself(boss, admin):
    admin.allocate(boss, 10)
    boss.done("DELETE", "credits/remove", {"userId": boss.id, "credits": 1})
    boss.done("PUT", "credits/adjust", {"userId": boss.id, "adjustment": -1})
    assert boss.total == 8
    admin.allocate(admin, 1)
    assert admin.total == 1


# Setting


def test_a_set_writes_off_what_is_there_and_gives_the_new_amount(server, rich, boss):
    rich.done("POST", "credits/deduct", {"credits": 30})
    body = {"userId": rich.id, "credits": 500, "expiryDays": 3, "notes": "A new contract"}
    assert boss.done("POST", "credits/set", body) == {
        "userId": rich.id,
        "previousCredits": 70,
        "newCredits": 500,
        "message": f"Credits set to 500 for user name-of-{rich.id}",
    }
    (allocation,) = rich.get("credits/balance")["activeAllocations"]
    assert (allocation["credits"], allocation["expiresAt"]) == (500, in_days(server, 3))
    entry = server.entries(rich.id)[0]
    assert (entry.kind, entry.amount, entry.description) == ("set", 430 * UNIT, "A new contract")


def test_a_set_to_zero_leaves_nothing(rich, boss):
    told_of = boss.done("POST", "credits/set", {"userId": rich.id, "credits": 0})
    assert (told_of["previousCredits"], told_of["newCredits"]) == (100, 0)
    assert told_of["message"] == f"Credits set to 0 for user name-of-{rich.id}"
    assert rich.get("credits/balance") == {"totalCredits": 0, "activeAllocations": []}


def test_a_set_leaves_what_sessions_hold_and_counts_what_can_be_spent(server, rich, boss):
    server.do(PlaceHold(workspace="main", account=rich.id, amount=30 * UNIT, ttl=DAY * 1_000_000))
    told_of = boss.done("POST", "credits/set", {"userId": rich.id, "credits": 50})
    assert (told_of["previousCredits"], told_of["newCredits"]) == (70, 50)
    assert rich.total == 50
    assert server.run(server.ledger.reports.account("main", rich.id, server.clock.now_us())).held == 30 * UNIT


def test_a_set_forgives_debt_and_tells_the_allowance(server, user, boss):
    boss.allocate(user, 5)
    server.do(SetAccount(workspace="main", account=user.id, allowance=2 * UNIT))
    server.do(TakeCharge(workspace="main", account=user.id, amount=10 * UNIT, shortfall="debt"))
    told_of = boss.done("POST", "credits/set", {"userId": user.id, "credits": 20})
    assert (told_of["previousCredits"], told_of["newCredits"]) == (-3, 22)
    assert user.total == 22


def test_what_lapsed_before_a_set_is_no_previous_credit(server, user, boss):
    boss.allocate(user, 5, expiryDays=1)
    boss.allocate(user, 6, expiryDays=9)
    server.clock.advance(2 * DAY)
    assert boss.done("POST", "credits/set", {"userId": user.id, "credits": 1})["previousCredits"] == 6


def test_who_was_never_given_anything_can_be_set_and_adjusted(server, boss):
    for person, (method, path, more) in (
        (somebody(server), ("POST", "set", {"credits": 4})),
        (somebody(server), ("PUT", "adjust", {"adjustment": 4})),
    ):
        told_of = boss.done(method, f"credits/{path}", {"userId": person.id, **more})
        assert (told_of["previousCredits"], told_of["newCredits"]) == (0, 4)
        assert person.total == 4


def test_a_set_that_is_refused_changes_nothing(server, rich, boss):
    before = server.entries(rich.id)
    for wrong in ({"credits": -1}, {"credits": "5"}, {"credits": 5, "expiryDays": 0}, {"credits": 10**15}, {}):
        status, _ = told(boss.post("credits/set", {"userId": rich.id, **wrong}))
        assert status == 400
    assert is_unchanged(server, rich, before)


def test_parallel_sets_leave_one_of_them(user, boss):
    boss.allocate(user, 50)

    def set_to(credits):
        return boss.done("POST", "credits/set", {"userId": user.id, "credits": credits})["newCredits"]

    with ThreadPoolExecutor(10) as pool:
        assert sorted(pool.map(set_to, range(1, 11))) == list(range(1, 11))
    assert user.total in range(1, 11)
    assert len(user.get("credits/balance")["activeAllocations"]) == 1


# Correcting


def test_credits_are_taken_away_down_to_zero_and_no_further(server, rich, boss):
    body = {"userId": rich.id, "credits": 30, "notes": "Given by mistake"}
    assert boss.done("DELETE", "credits/remove", body) == {
        "userId": rich.id,
        "previousCredits": 100,
        "newCredits": 70,
        "removedCredits": 30,
        "message": f"Removed 30 credits from user name-of-{rich.id}",
    }
    assert server.entries(rich.id)[0].description == "Given by mistake"
    before = server.entries(rich.id)
    answer = boss.send("DELETE", "credits/remove", {"userId": rich.id, "credits": 71})
    assert told(answer) == (400, "Insufficient credits. User has 70, trying to remove 71")
    assert is_unchanged(server, rich, before)
    assert boss.done("DELETE", "credits/remove", {"userId": rich.id, "credits": 70})["newCredits"] == 0


def test_an_adjustment_gives_and_takes(server, rich, boss):
    given = boss.done("PUT", "credits/adjust", {"userId": rich.id, "adjustment": 7.5, "expiryDays": 2})
    assert given == {
        "userId": rich.id,
        "previousCredits": 100,
        "newCredits": 107.5,
        "adjustment": 7.5,
        "message": f"Adjusted credits by 7.5 for user name-of-{rich.id}",
    }
    assert rich.get("credits/balance")["activeAllocations"][0]["expiresAt"] == in_days(server, 2)
    taken = boss.done("PUT", "credits/adjust", {"userId": rich.id, "adjustment": -50, "expiryDays": 9})
    assert (taken["newCredits"], taken["adjustment"]) == (57.5, -50)
    assert taken["message"] == f"Adjusted credits by -50 for user name-of-{rich.id}"


def test_an_adjustment_below_zero_changes_nothing(server, rich, boss):
    boss.done("PUT", "credits/adjust", {"userId": rich.id, "adjustment": -55})
    before = server.entries(rich.id)
    answer = boss.send("PUT", "credits/adjust", {"userId": rich.id, "adjustment": -500})
    assert told(answer) == (400, "Adjustment would result in negative balance. Current: 45, Adjustment: -500")
    assert is_unchanged(server, rich, before)
    assert boss.done("PUT", "credits/adjust", {"userId": rich.id, "adjustment": -45})["newCredits"] == 0


def test_nothing_is_taken_from_who_never_had_anything(server, user, boss):
    answer = boss.send("DELETE", "credits/remove", {"userId": user.id, "credits": 1})
    assert told(answer) == (400, "Insufficient credits. User has 0, trying to remove 1")
    answer = boss.send("PUT", "credits/adjust", {"userId": user.id, "adjustment": -1.5})
    assert told(answer) == (400, "Adjustment would result in negative balance. Current: 0, Adjustment: -1.5")
    assert server.entries(user.id) == []


def test_what_sessions_hold_is_not_taken_away(server, rich, boss):
    server.do(PlaceHold(workspace="main", account=rich.id, amount=30 * UNIT, ttl=DAY * 1_000_000))
    answer = boss.send("DELETE", "credits/remove", {"userId": rich.id, "credits": 71})
    assert told(answer) == (400, "Insufficient credits. User has 70, trying to remove 71")


# Once


WRITES = [
    ("POST", "credits/allocate", {"credits": 5}, {"credits": 6}, 105),
    ("POST", "credits/set", {"credits": 5}, {"credits": 6}, 5),
    ("DELETE", "credits/remove", {"credits": 5}, {"credits": 6}, 95),
    ("PUT", "credits/adjust", {"adjustment": 5}, {"adjustment": -5}, 105),
]


@pytest.mark.parametrize(("method", "path", "body", "other", "total"), WRITES)
@pytest.mark.parametrize("where", ["body", "header"])
def test_a_keyed_retry_acts_once_and_is_answered_alike(server, rich, boss, where, method, path, body, other, total):
    sent = {"userId": rich.id, "notes": "first", **body}
    headers = {"Idempotency_Key": "k"}
    if where == "body":
        sent, headers = sent | {"idempotencyKey": "k"}, {}
    first = boss.send(method, path, sent, **headers)
    server.clock.advance(5)
    again = boss.send(method, path, sent | {"notes": "again", "expiryDays": 3}, **headers)
    assert first.status in (200, 201)
    assert (again.status, again.raw) == (first.status, first.raw)
    conflict = boss.send(method, path, {**sent, **other}, **headers)
    assert told(conflict) == (409, "This key was used before for something else; it differs in amount")
    assert rich.total == total


def test_an_allocation_by_address_is_made_once(user, admin):
    body = {"email": f"{user.id}@example.com", "credits": 5}
    first, again = (admin.post("credits/allocate-by-email", body, Idempotency_Key="k") for _ in range(2))
    assert (first.status, again.raw) == (201, first.raw)
    assert user.total == 5


# Listing


def listed(boss, **params):
    query = "&".join(f"{name}={value}" for name, value in params.items())
    return boss.get(f"credits/allocations/all?{query}")


def test_all_allocations_are_listed_newest_first_with_who_gave_them(server, user, boss):
    server.clock.advance(1)
    given = boss.allocate(user, 10, notes="Welcome")
    server.clock.advance(1)
    server.add(f"bought-{user.id}", 2)
    user.done("POST", "credits/deduct", {"credits": 4})
    server.do(PlaceHold(workspace="main", account=user.id, amount=UNIT, ttl=DAY * 1_000_000))
    bought, first = listed(boss, limit=2)["allocations"]
    assert first == {
        "id": given["id"],
        "userId": user.id,
        "totalCredits": 10,
        "remainingCredits": 5,
        "allocatedBy": boss.id,
        "allocatedAt": first["allocatedAt"],
        "expiresAt": given["expiresAt"],
        "notes": "Welcome",
        "UserAccount": {"username": f"name-of-{user.id}", "email": f"{user.id}@example.com"},
    }
    assert (bought["userId"], bought["totalCredits"], bought["expiresAt"]) == (f"bought-{user.id}", 2, None)
    assert bought["UserAccount"] == {"username": f"bought-{user.id}", "email": None}
    assert (bought["allocatedBy"][:4], bought["notes"]) == ("key:", None)


def test_a_listing_goes_on_where_its_page_ended(server, user, boss):
    given = [boss.allocate(user, 1, notes=str(number))["id"] for number in range(5)]
    seen, cursor = [], ""
    for _ in range(2):
        page = listed(boss, limit=2, **({"cursor": cursor} if cursor else {}))
        assert len(page["allocations"]) == 2
        seen += [line["id"] for line in page["allocations"]]
        cursor = page["nextCursor"]
        boss.allocate(user, 1)  # neither repeats nor hides others
    assert seen == sorted(given, reverse=True)[:4]


def test_a_listing_ends(server, boss):
    pages, cursor = [], ""
    while cursor is not None:
        page = listed(boss, limit=200, **({"cursor": cursor} if cursor else {}))
        pages.append(page)
        cursor = page["nextCursor"]
    ids = [line["id"] for page in pages for line in page["allocations"]]
    assert len(set(ids)) == len(ids) == server.sql("select count(*) from grants where workspace = 'main'")[0][0]


def test_what_has_lapsed_is_listed_with_nothing_left(server, user, boss):
    given = boss.allocate(user, 3, expiryDays=1)
    server.clock.advance(2 * DAY)
    line = next(line for line in listed(boss)["allocations"] if line["id"] == given["id"])
    assert (line["totalCredits"], line["remainingCredits"]) == (3, 0)


@pytest.mark.parametrize("query", ["limit=0", "limit=501", "limit=x", "limit=1.5", "cursor=made-up", "limit=%ff"])
def test_a_page_that_makes_no_sense_is_refused(boss, query):
    status, sentence = told(boss.send("GET", f"credits/allocations/all?{query}"))
    assert status == 400
    assert query.partition("=")[0] in sentence or "query" in sentence


def test_a_page_of_another_workspace_can_not_be_gone_on_with(server, user, boss):
    for _ in range(2):
        boss.allocate(user, 1)
    cursor = listed(boss, limit=1)["nextCursor"]
    stranger = somebody(server, "admin", "other")
    assert stranger.get("credits/allocations/all") == {"allocations": [], "nextCursor": None}
    assert stranger.send("GET", f"credits/allocations/all?cursor={cursor}").status == 400
