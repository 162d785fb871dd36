"""The workflow of the Accounting Service API, from the login to deducted credits, with nothing else installed.

    python examples/accounting_workflow.py

It makes a ledger in a folder of its own and serves it, as an operator would: the first admin and the prices come from
the command line, all else over HTTP. The same calls work against a server that is there already, and with the tokens
of an auth service that the workspace trusts.
"""

import json
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from secrets import token_urlsafe
from typing import Any
from urllib.request import Request, urlopen

CARD = Path(__file__).parent / "cards" / "gpt4.json"
PASSWORD = token_urlsafe()


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        farthing(folder, "init")
        farthing(folder, "prices", "card", "put", "default", str(CARD))
        farthing(
            folder, "users", "create", "boss", "--email", "boss@example.com", "--role", "admin", "--password-stdin"
        )
        with serving(folder) as url:
            walk_through(url)


def walk_through(url: str) -> None:
    boss = log_in(url, "boss")
    anna = {"username": "anna", "email": "anna@example.com", "password": PASSWORD, "skipVerification": True}
    ask(url, "POST", "admin/users", anna, boss)
    notes = "A first month"
    ask(url, "POST", "credits/allocate", {"userId": "anna", "credits": 100.5, "expiryDays": 30, "notes": notes}, boss)

    token = log_in(url, "anna")
    print("balance:", ask(url, "GET", "credits/balance", token=token)["totalCredits"])
    price = ask(url, "POST", "credits/calculate", {"modelId": "gpt-4", "tokens": 1500}, token)["credits"]
    print("1500 tokens of gpt-4 cost:", price)
    print("enough:", ask(url, "POST", "credits/check", {"requiredCredits": price}, token)["sufficient"])

    # ... here the model answers ...

    used = {
        "service": "chat",
        "operation": "gpt-4",
        "credits": price,
        "metadata": {"model": "gpt-4", "tokens": 1500},
        "idempotencyKey": "message-7f3a-0001",  # sent again, it answers the same and charges nothing
    }
    for _ in range(2):
        print("recorded:", ask(url, "POST", "usage/record", used, token)["credits"])
    print("balance:", ask(url, "GET", "credits/balance", token=token)["totalCredits"])
    print("used by model:", ask(url, "GET", "usage/stats", token=token)["byModel"])


def log_in(url: str, name: str) -> str:
    """An access token."""
    token: str = ask(url, "POST", "auth/login", {"username": name, "password": PASSWORD})["accessToken"]
    return token


def ask(url: str, method: str, path: str, body: dict[str, Any] | None = None, token: str = "") -> Any:
    """What a call answers; an answer of 400 and above raises."""
    fields = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})
    data = None if body is None else json.dumps(body).encode()
    with urlopen(Request(f"{url}/api/{path}", data, fields, method=method), timeout=30) as answer:
        return json.load(answer)


def farthing(folder: str, *words: str) -> None:
    """Run a command on the ledger of that folder; those that read a password get it."""
    subprocess.run(["farthing", *words], cwd=folder, input=PASSWORD, check=True, stdout=subprocess.DEVNULL, text=True)


@contextmanager
def serving(folder: str) -> Iterator[str]:
    """The ledger of that folder behind HTTP, on a free port."""
    command = ["farthing", "serve", "--port", "0"]
    with (
        open(Path(folder) / "serve.log", "w") as log,
        subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=log, text=True) as server,
    ):
        try:
            assert server.stdout is not None
            yield server.stdout.readline().split()[-1]
        finally:
            server.terminate()


if __name__ == "__main__":
    main()
