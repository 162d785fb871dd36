-- Reading for people.

-- name: workspace
select id, name, mode, unit, scale, created_at, settings from workspace where id = ?

-- name: workspaces
select id, name, mode, unit, scale, created_at, settings from workspace order by created_at, id

-- name: account
select workspace, id, bucket, number, balance, held, debt, earned, spent, lapsed, written_off, at, head, holds, lapse_at,
    hold_due_at, grants, settings, spending
from account where workspace = ? and id = ? and bucket = ?

-- name: entries
select workspace, account, bucket, number, id, kind, amount, balance, held, debt, at, key, fingerprint, actor, request_id,
    operation, description, metadata, body, version, hash
from entry where workspace = ? and account = ? and number < ? order by number desc limit ?

-- name: moves
select workspace, account, bucket, number, id, kind, amount, balance, held, debt, at, key, fingerprint, actor, request_id,
    operation, description, metadata, body, version, hash
from entry where workspace = ? and account = ? and number < ? and amount <> 0 order by number desc limit ?

-- name: entry
select workspace, account, bucket, number, id, kind, amount, balance, held, debt, at, key, fingerprint, actor, request_id,
    operation, description, metadata, body, version, hash
from entry where id = ? and bucket = ? and workspace = ?

-- name: hold
select terms from hold where id = ? and bucket = ? and workspace = ?

-- name: holds
select terms from hold where workspace = ? and account = ? and state = 'live' order by expires_at, id

-- name: due
select workspace, subject from job
where kind = 'account' and parked_at is null and due_at <= ? and locked_until <= ? order by due_at limit ?

-- name: durability
select (select journal_mode from pragma_journal_mode), (select synchronous from pragma_synchronous)
