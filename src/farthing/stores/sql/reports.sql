-- Reading for people.

-- name: workspace
select id, name, mode, unit, scale, created_at, settings, told from workspace where id = ?

-- name: workspaces
select id, name, mode, unit, scale, created_at, settings, told from workspace order by created_at, id

-- name: account
select workspace, id, bucket, number, balance, held, debt, earned, spent, lapsed, written_off, at, head, holds, lapse_at,
    hold_due_at, grants, settings, spending
from account where workspace = ? and id = ? and bucket = ?

-- An account and those of its holds that have ended by then, read at one moment.
-- name: standing
select a.workspace, a.id, a.bucket, a.number, a.balance, a.held, a.debt, a.earned, a.spent, a.lapsed, a.written_off,
    a.at, a.head, a.holds, a.lapse_at, a.hold_due_at, a.grants, a.settings, a.spending, h.terms
from account a
    left join hold h on h.workspace = a.workspace and h.account = a.id and h.state = 'live'
        and a.hold_due_at is not null
        and h.expires_at <= case when a.at > cast(? as bigint) then a.at else cast(? as bigint) end
where a.workspace = ? and a.id = ? and a.bucket = ?

-- name: entries
select workspace, account, bucket, number, id, kind, amount, balance, held, debt, at, key, fingerprint, actor, request_id,
    operation, description, metadata, body, version, hash
from entry e
where workspace = ? and account = ? and number < ?
    and number > coalesce(
        (select p.number from checkpoint p where p.workspace = e.workspace and p.account = e.account and p.bucket = e.bucket),
        0
    )
order by number desc limit ?

-- name: moves
select workspace, account, bucket, number, id, kind, amount, balance, held, debt, at, key, fingerprint, actor, request_id,
    operation, description, metadata, body, version, hash
from entry e
where workspace = ? and account = ? and number < ? and amount <> 0
    and number > coalesce(
        (select p.number from checkpoint p where p.workspace = e.workspace and p.account = e.account and p.bucket = e.bucket),
        0
    )
order by number desc limit ?

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
