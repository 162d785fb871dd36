-- Listings: what only SQLite says this way.

-- name: accounts
select workspace, id, bucket, number, balance, held, debt, earned, spent, lapsed, written_off, at, head, holds, lapse_at,
    hold_due_at, grants, settings, spending
from account where workspace = ? and id in (select value from json_each(?))

-- Named by the row of their account, so they are its own.
-- name: grants_by_id
select account, terms, voided, gone from grants
where bucket = ? and id in (select value from json_each(?))
