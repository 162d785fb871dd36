"""The rules of the ledger: pure functions over records; no clock, no I/O, no randomness."""
