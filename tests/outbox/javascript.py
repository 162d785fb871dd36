"""What we sign, verified by the library that receivers in JavaScript use, and by the lines that our page about webhooks
shows: `./dev soak webhooks-js`.

Needs node and npm, which installs the library into a folder that is gone afterwards; no test does.
"""

import json
import random
import re
import subprocess
import time
from pathlib import Path
from typing import Any

from farthing.core.endpoints import secret_of
from farthing.core.events import TYPES, body_of
from farthing.core.ids import make_id
from farthing.core.records import Event
from farthing.outbox.signing import headers_of, key_of

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "webhooks.md"
PACKAGE = "standardwebhooks@^1"
PROGRAM = """
const { Webhook } = require("standardwebhooks");
const { verified } = require("./page.cjs");
const told = { verified: 0, refused: 0, wrong: [] };
const page = (m) => {
  try {
    return verified(m.secret, m.headers, m.body).type === m.type;
  } catch {
    return false;
  }
};
for (const m of JSON.parse(require("fs").readFileSync(0, "utf8"))) {
  let taken = true;
  try {
    const payload = new Webhook(m.secret).verify(m.body, m.headers);
    if (payload.type !== m.type) throw new Error("another type: " + payload.type);
  } catch (error) {
    taken = false;
    if (m.good) told.wrong.push(String(error));
  }
  if (page(m) !== m.good) told.wrong.push("the page says otherwise: " + m.headers["webhook-id"]);
  if (taken && !m.good) told.wrong.push("taken: " + m.headers["webhook-id"]);
  taken ? told.verified++ : told.refused++;
}
console.log(JSON.stringify(told));
"""


def verify(folder: Path, count: int, rng: random.Random) -> dict[str, Any]:
    """Have so many messages verified, and as many that were changed; raises where the library says otherwise."""
    install = ["npm", "install", "--prefix", str(folder), "--no-audit", "--no-fund", PACKAGE]
    subprocess.run(install, check=True, capture_output=True, text=True)
    (folder / "verify.cjs").write_text(PROGRAM)
    (shown,) = re.findall(r"```js\n(.*?)```", PAGE.read_text(), re.DOTALL)
    (folder / "page.cjs").write_text(shown + "module.exports = { verified };\n")
    messages = [message(rng) for _ in range(count)]
    asked = json.dumps(messages + [changed(each, rng) for each in messages])
    ran = subprocess.run(
        ["node", "verify.cjs"], cwd=folder, input=asked, check=True, capture_output=True, text=True
    )  # fmt: skip
    told: dict[str, Any] = json.loads(ran.stdout)
    if told["wrong"] or (told["verified"], told["refused"]) != (count, count):
        raise AssertionError(f"the library says otherwise: {told}")
    return told


def message(rng: random.Random) -> dict[str, Any]:
    """An event of some type, signed by one secret or two."""
    type = rng.choice(list(TYPES.values()))
    at, bucket = round(time.time() * 1_000_000), rng.randrange(4_096)
    account = "".join(chr(rng.choice((rng.randrange(33, 127), rng.randrange(0xA0, 0xD7FF)))) for _ in range(12))
    event = Event(make_id("evt", at, 0, 1, bucket), "main", account, bucket, type.name, at, dict(type.example))
    secrets = [secret_of(rng.randbytes(rng.randrange(24, 65))) for _ in range(rng.choice((1, 1, 2)))]
    body = body_of(event)
    headers = headers_of(event.id, at // 1_000_000, body, [key_of(secret) for secret in secrets])
    return {
        "secret": rng.choice(secrets), "body": body.decode(), "type": type.name, "good": True,
        "headers": {name.decode(): value.decode() for name, value in headers},
    }  # fmt: skip


def changed(good: dict[str, Any], rng: random.Random) -> dict[str, Any]:
    """The same with one thing changed: body, id, time or secret."""
    headers = dict(good["headers"])
    bad = good | {"good": False, "headers": headers}
    match rng.randrange(4):
        case 0:
            bad["body"] = good["body"].replace("{", "{ ", 1)
        case 1:
            headers["webhook-id"] += "0"
        case 2:
            headers["webhook-timestamp"] = str(int(headers["webhook-timestamp"]) + 1)
        case _:
            bad["secret"] = secret_of(rng.randbytes(32))
    return bad
