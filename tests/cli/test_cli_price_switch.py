"""A change of prices reaches all processes at the same instant: two workers, real clocks, a card with a date."""

import http.client
import json
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from tests.cli.command import Cli
from tests.cli.test_cli_workers import key, served, url, workers_of  # noqa: F401  (fixtures)

CALLERS = 8
USAGE = {"dimensions": {"images": 1}}


def card(price: str) -> str:
    return json.dumps({"rules": [{"id": "image", "dimension": "images", "price": price}]})


def charged_until(over: threading.Event, port: int, api_key: str, account: str) -> list[dict[str, Any]]:
    """Charges on a connection of its own, one after the other."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    headers = {"X-API-Key": api_key, "Content-Type": "application/json"}
    made: list[dict[str, Any]] = []
    while not over.is_set():
        body = json.dumps({"account": account, "usage": USAGE})
        connection.request("POST", "/v1/charges", body, headers | {"Idempotency-Key": f"{account}-{len(made)}"})
        response = connection.getresponse()
        answer = json.loads(response.read())
        assert response.status == 201, answer
        made.append(answer)
    return made


def test_two_workers_switch_to_a_new_card_at_the_same_instant(cli: Cli, url: str, key: str, tmp_path: Path):  # noqa: F811
    file = tmp_path / "card.json"
    file.write_text(card("0.01"))
    cli.ok("prices", "card", "put", "default", str(file))
    accounts = [f"caller-{number}" for number in range(CALLERS)]
    for account in accounts:
        cli.ok("grant", account, "1000")
    over = threading.Event()
    with served(url, tmp_path) as serving, ThreadPoolExecutor(CALLERS) as pool:
        assert len(workers_of(serving)) == 2
        port = int(serving.address.rpartition(":")[2])
        going = [pool.submit(charged_until, over, port, key, account) for account in accounts]
        try:
            file.write_text(card("0.02"))
            second = cli.ok("prices", "card", "put", "default", str(file))
            begins = datetime.fromisoformat(second["effective_from"])
            added = datetime.fromisoformat(second["created_at"])
            assert timedelta(seconds=2) <= begins - added < timedelta(seconds=3)
            over.wait(2.6)
        finally:
            over.set()
        charges = [each for work in going for each in work.result(60)]
    # Whichever worker it was that priced them: by their own time, to the microsecond.
    by_version: dict[str, list[datetime]] = {"default@1": [], "default@2": []}
    for each in charges:
        by_version[each["price"]["card"]].append(datetime.fromisoformat(each["created_at"]))
    assert min(map(len, by_version.values())) > CALLERS
    assert max(by_version["default@1"]) < begins <= min(by_version["default@2"])
