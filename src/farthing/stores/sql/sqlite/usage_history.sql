-- Usage, listed: what only SQLite says this way.

-- name: rows
select u.id, u.workspace, u.account, u.bucket, u.at, u.booked_at, u.service, u.operation, u.provider, u.model, u.chat,
    u.input_tokens, u.output_tokens, u.tokens, u.amount, u.cost, u.unpriced,
    e.workspace, e.account, e.bucket, e.number, e.id, e.kind, e.amount, e.balance, e.held, e.debt, e.at, e.key,
    e.fingerprint, e.actor, e.request_id, e.operation, e.description, e.metadata, e.body, e.version, e.hash
from usage u join entry e on e.id = u.id and e.bucket = u.bucket
-- The plus keeps it from looking through all of a workspace.
where +u.workspace = ? and u.id in (select value from json_each(?))
