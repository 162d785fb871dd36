-- Accounts as they stood. The entries of an account are found by their numbers.

-- name: numbered
select workspace, account, bucket, number, id, kind, amount, balance, held, debt, at, key, fingerprint, actor, request_id,
    operation, description, metadata, body, version, hash
from entry where workspace = ? and account = ? and number = ? and bucket = ?

-- name: bodies
select body from entry where workspace = ? and account = ? and number >= ? and number < ? order by number
