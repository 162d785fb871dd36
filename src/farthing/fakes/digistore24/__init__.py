"""A stand-in for Digistore24: its API, pages to buy by, and notifications, with books of its own.

with farthing.fakes.digistore24.running(Options(notify="http://127.0.0.1:8787/...")) as fake:
order = fake.post("orders", product_id="512345", custom="alice")
fake.post("clock/advance", days=31)
assert fake.get("books")["totals"]["EUR"]["paid"] == "49.00"
"""

from farthing.fakes.web import Remote

from .program import KEY, PASSPHRASE, Fake, Options, running

__all__ = ["KEY", "PASSPHRASE", "Fake", "Options", "Remote", "running"]
