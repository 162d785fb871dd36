"""A database of each old shape, read by the very SQL of the page about moving in, imports; its totals agree."""

import json
import re
from pathlib import Path
from typing import Any

import apsw
import pytest

from tests.cli.command import Cli
from tests.postgres import Cluster, Databases

PAGE = (Path(__file__).parents[2] / "docs" / "how-to" / "moving-in.md").read_text()
SQL = {found[0]: found[1] for found in re.findall(r"```sql\n-- ([a-z-]+\.sql)\n(.*?)```", PAGE, re.DOTALL)}
PLANS = Path(__file__).parents[2] / "examples" / "plans" / "token_bot.json"
HASH = "$2b$04$BXk7zj/1XI.EDLjmibqx5ORdR38wA8rRHtowI0rvJMGsWdXIfp8qC"

ACCOUNTING = f"""
create table users (
    id text, username text, email text, password text, role text, is_verified boolean, created_at timestamptz);
insert into users values
    ('u1', 'anna', 'anna@example.com', '{HASH}', 'admin', true, now() - interval '2 years'),
    ('u2', 'ben', 'ben@example.com', '{HASH.replace("$2b$", "$2y$")}', 'enduser', false, now() - interval '1 day'),
    ('u3', 'cleo', null, null, 'supervisor', true, now());
create table credit_allocations (
    id int, user_id text, total_credits numeric, remaining_credits numeric, allocated_by text, allocated_at timestamptz,
    expires_at timestamptz, notes text);
insert into credit_allocations values
    (1, 'u1', 100, 92.5, 'u3', now() - interval '9 days', now() + interval '21 days', 'Welcome'),
    (2, 'u1', 10.25, 10.25, null, now() - interval '1 day', now() + interval '29 days', null),
    (3, 'u2', 50, 0, 'u3', now() - interval '1 day', now() + interval '29 days', 'Used up'),
    (4, 'u2', 50, 12, 'u3', now() - interval '40 days', now() - interval '10 days', 'Lapsed'),
    (5, 'u2', 7, 0.000001, 'u3', now() - interval '4 days', now() + interval '26 days', 'Nearly used up');
create table streaming_sessions (
    session_id text, user_id text, model_id text, estimated_tokens int, allocated_credits numeric, used_credits numeric,
    status text, started_at timestamptz);
insert into streaming_sessions values
    ('s1', 'u1', 'gpt-4', 1000, 6, 4.5, 'completed', now() - interval '1 day'),
    ('s2', 'u2', 'gpt-4', 500, 3, 0, 'active', now() - interval '1 minute');
"""
COUNTWERK = """
create table credit_grants (
    id text, account_id text, amount numeric, remaining numeric, expires_at timestamptz, product_id text, order_id text,
    transaction_id text, created_at timestamptz);
insert into credit_grants values
    ('g1', 'alice', 1000, 988.5, null, 'p1', 'o1', 'T1', now() - interval '90 days'),
    ('g2', 'alice', 50, 0, now() + interval '1 day', 'p2', 'o2', 'T2', now() - interval '29 days'),
    ('g3', 'ben', 50, 20, now() - interval '1 day', 'p2', 'o3', 'T3', now() - interval '31 days'),
    ('g4', 'ben', 5, 5, now() + interval '9 days', 'p3', 'o4', 'T4', now() - interval '1 days');
create table credit_transactions (
    id text, account_id text, type text, amount numeric, balance_after numeric, operation text, description text,
    usage_event_id text, grant_id text, created_at timestamptz);
insert into credit_transactions values
    ('t1', 'alice', 'add', 1000, 1000, null, null, null, 'g1', now() - interval '90 days'),
    ('t2', 'alice', 'deduct', -11.5, 988.5, 'chat.message', 'An answer', 'e1', null, now() - interval '1 day'),
    ('t3', 'ben', 'add', 5, 5, null, null, null, 'g4', now() - interval '1 day');
"""
PRICING = """
create table model_pricing (
    model_id text, provider_id text, input_price numeric, output_price numeric, is_active boolean);
insert into model_pricing values ('gpt-4o', 'openai', 0.0025, 0.01, true), ('old', 'openai', 1, 1, false);
create table user_balance (user_id text, balance numeric, created_at timestamptz);
insert into user_balance values
    ('alice', 12.345678901, now() - interval '1 year'), ('ben', -0.25, now() - interval '1 month'), ('cleo', 0, now());
create table transactions (id int, user_id text, amount numeric, stripe_payment_intent text);
insert into transactions values (1, 'alice', 10, 'pi_1'), (2, 'alice', 10, 'pi_1'), (3, 'ben', 5, null);
create table usage_records (
    id int, user_id text, request_id text, total_cost numeric, created_at timestamptz);
insert into usage_records values
    (1, 'alice', 'r1', 0.01175, now() - interval '1 day'), (2, 'alice', 'r1', 0.01175, now() - interval '1 day'),
    (3, 'ben', 'r2', 0.000375, now() - interval '60 days');
"""
TOKENS = """
create table users (
    user_id text, tokens_balance int, tokens_spent int, tier text, last_renewal_at {time},
    subscription_expires_at {time});
insert into users values
    ('alice', 40, 60, 'Gift', {month_ago}, null), ('ben', -3, 10, 'Gift', null, null),
    ('cleo', 1500, 500, 'Professional', {yesterday}, {tomorrow}), ('dan', 7, 0, 'Business', {month_ago}, {yesterday}),
    ('eve', 0, 0, null, null, null);
create table token_ledger (id int, user_id text, operation_type text, tokens_amount int, metadata {json});
insert into token_ledger values
    (1, 'cleo', 'purchase', 2000, '{{"paymentId": "y1", "provider": "yookassa"}}'),
    (2, 'cleo', 'image_generation', -10, '{{}}'), (3, 'dan', 'purchase', 10000, '{{"paymentId": "y2"}}');
"""
ON_POSTGRES = {
    "time": "timestamptz", "json": "jsonb", "month_ago": "now() - interval '31 days'",
    "yesterday": "now() - interval '1 day'", "tomorrow": "now() + interval '29 days'",
}  # fmt: skip
ON_SQLITE = {
    "time": "text", "json": "text", "month_ago": "datetime('now', '-31 days')",
    "yesterday": "datetime('now', '-1 day')", "tomorrow": "datetime('now', '+29 days')",
}  # fmt: skip


@pytest.fixture(scope="module")
def old(postgres: Cluster, databases: Databases) -> Any:
    """Makes a database of PostgreSQL with these tables, and reads it by the SQL of the page."""

    def read(tables: str, name: str) -> str:
        database = databases.name_of(databases.make("template0"))
        postgres.sql(tables, database)
        return postgres.sql(SQL[name], database) + "\n"

    return read


def imported(ledger: Cli, text: str) -> dict[str, Any]:
    """The file, tried and then imported twice; what the first time said."""
    assert ledger.ok("import", "-", "--dry-run", input=text)["ok"]
    first, again = (ledger.ok("import", "-", "--apply", input=text) for _ in range(2))
    assert first["booked"] == first["credits"] == again["booked"]
    assert all(count["written"] == 0 for count in again["types"].values())
    assert ledger.ok("doctor")["ok"]
    return first


def balances(ledger: Cli, *accounts: str) -> dict[str, str]:
    return {account: ledger.ok("balance", account)["balance"] for account in accounts}


def new(cli: Cli, *words: str) -> Cli:
    """A ledger for this system."""
    cli.ok("init", *words)
    return cli


def test_the_accounting_service_moves_in(ledger: Cli, old: Any) -> None:
    told = imported(ledger, old(ACCOUNTING, "accounting.sql"))
    assert balances(ledger, "u1", "u2") == {"u1": "102.75", "u2": "3.000001"}
    assert (told["credits"], told["accounts"]) == ("105.750001", 2)
    found = {each["username"]: each for each in ledger.ok("users", "list")["data"]}
    assert {name: (each["role"], each["verified"], each["signs_in"]) for name, each in found.items()} == {
        "anna": ("admin", True, "here"), "ben": ("user", False, "here"), "cleo": ("supervisor", True, "elsewhere")
    }  # fmt: skip
    grants = ledger.ok("balance", "u1")["grants"]
    assert sorted(each["remaining"] for each in grants) == ["10.25", "92.5"]
    assert all(each["expires_at"] is not None for each in grants)


def test_credits_as_countwerk_has_them_move_in(ledger: Cli, old: Any) -> None:
    told = imported(ledger, old(COUNTWERK, "countwerk.sql"))
    assert balances(ledger, "alice", "ben") == {"alice": "988.5", "ben": "5"}
    assert {type: count["written"] for type, count in told["types"].items()} == {
        "account": 2, "grant": 3, "payment": 1, "key": 3
    }  # fmt: skip
    alice = ledger.ok("balance", "alice")
    assert (alice["earned"], alice["spent"]) == ("1050", "61.5")


def test_balances_in_money_and_model_prices_move_in(cli: Cli, old: Any) -> None:
    ledger = new(cli, "--unit", "USD")
    told = imported(ledger, old(PRICING, "pricing.sql"))
    assert balances(ledger, "alice", "ben", "cleo") == {"alice": "12.345678901", "ben": "-0.25", "cleo": "0"}
    assert (told["types"]["payment"]["written"], told["types"]["key"]["written"]) == (1, 4)
    quote = ledger.ok(
        "quote", "--provider", "openai", "--model", "gpt-4o", "--input-tokens", "1500", "--output-tokens", "800"
    )
    assert quote["amount"] == "0.01175"


@pytest.mark.parametrize("dialect", ["postgres", "sqlite"])
def test_tokens_with_their_renewals_move_in(cli: Cli, old: Any, dialect: str) -> None:
    ledger = new(cli, "--unit", "tokens", "--scale", "0")
    ledger.ok("plans", "import", str(PLANS))
    if dialect == "postgres":
        text = old(TOKENS.format(**ON_POSTGRES), "tokens-postgres.sql")
    else:
        db = apsw.Connection(":memory:")
        db.execute(TOKENS.format(**ON_SQLITE))
        text = "".join(f"{row[0]}\n" for row in db.execute(SQL["tokens.sql"]))
    told = imported(ledger, text)
    assert balances(ledger, "alice", "ben", "cleo", "dan", "eve") == {
        "alice": "40", "ben": "-3", "cleo": "1500", "dan": "7", "eve": "0"
    }  # fmt: skip
    assert told["types"]["subscription"] == {"read": 4, "written": 3, "there": 0, "refused": 0, "left_out": 1}
    assert [ledger.ok("balance", each)["spent"] for each in ("alice", "ben", "cleo")] == ["60", "10", "500"]
    # Who was never renewed, or a month ago, is due; who was yesterday is not.
    run = ledger.ok("renew")
    assert sorted(each["account"] for each in run["renewals"]) == ["alice", "ben"]
    assert balances(ledger, "alice", "ben", "cleo") == {"alice": "140", "ben": "97", "cleo": "1500"}
    assert ledger.ok("subscriptions", "show", "cleo")["renewed_at"] is not None


def test_the_page_names_the_files_that_it_has() -> None:
    assert SQL.keys() == {
        "accounting.sql", "countwerk.sql", "pricing.sql", "tokens.sql", "tokens-postgres.sql"
    }  # fmt: skip
    assert all(json.loads(text)["type"] for text in re.findall(r"^\{.*\}$", PAGE, re.MULTILINE))
