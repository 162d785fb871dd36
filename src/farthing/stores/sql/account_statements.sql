-- Statements of accounts: a period's entries, found by their numbers; all of them, or those that moved the balance.

-- name: totals
select kind, count(*), cast(sum(amount) as bigint) from entry
where workspace = ? and account = ? and number >= ? and number < ? and (cast(? as bigint) = 1 or amount <> 0)
group by kind

-- name: lines
select workspace, account, bucket, number, id, kind, amount, balance, held, debt, at, key, fingerprint, actor, request_id,
    operation, description, metadata, body, version, hash
from entry
where workspace = ? and account = ? and number >= ? and number < ? and (cast(? as bigint) = 1 or amount <> 0)
order by number limit ?
