-- Listings, each served by an index: what is read for a page hangs on the page, not on the table.

-- name: head
select a.number, coalesce(p.number, 0)
from account a left join checkpoint p on p.workspace = a.workspace and p.account = a.id and p.bucket = a.bucket
where a.workspace = ? and a.id = ? and a.bucket = ?

-- name: account_marks
select id, debt, settings from account where workspace = ? and id >= ? and id < ? order by id limit ?

-- name: entry_at
select at from entry where workspace = ? and account = ? and number = ? and bucket = ?

-- name: entries_down
select workspace, account, bucket, number, id, kind, amount, balance, held, debt, at, key, fingerprint, actor, request_id,
    operation, description, metadata, body, version, hash
from entry
where workspace = ? and account = ? and number >= ? and number < ?
    and (cast(? as text) = '' or cast(? as text) like '%,' || kind || ',%')
order by number desc limit ?

-- name: entries_up
select workspace, account, bucket, number, id, kind, amount, balance, held, debt, at, key, fingerprint, actor, request_id,
    operation, description, metadata, body, version, hash
from entry
where workspace = ? and account = ? and number >= ? and number < ?
    and (cast(? as text) = '' or cast(? as text) like '%,' || kind || ',%')
order by number limit ?

-- name: charges
select e.workspace, e.account, e.bucket, e.number, e.id, e.kind, e.amount, e.balance, e.held, e.debt, e.at, e.key,
    e.fingerprint, e.actor, e.request_id, e.operation, e.description, e.metadata, e.body, e.version, e.hash, c.terms
from entry e left join charge c on c.id = e.id and c.bucket = e.bucket
where e.workspace = ? and e.account = ? and e.number >= ? and e.number < ? and e.kind in ('charge', 'settle', 'expire')
order by e.number desc limit ?

-- name: charge
select e.workspace, e.account, e.bucket, e.number, e.id, e.kind, e.amount, e.balance, e.held, e.debt, e.at, e.key,
    e.fingerprint, e.actor, e.request_id, e.operation, e.description, e.metadata, e.body, e.version, e.hash, c.terms
from entry e left join charge c on c.id = e.id and c.bucket = e.bucket
where e.id = ? and e.bucket = ? and e.workspace = ? and e.kind in ('charge', 'settle', 'expire')

-- Entries of a bucket's accounts up to an instant may be archived.
-- name: archived
select 1 from checkpoint where workspace = ? and bucket = ? and at >= ? limit 1

-- name: owners_of_key
select account from key where workspace = ? and key = ? and account <> '' and bucket = ?

-- name: checkpoint
select state, used_until, archive, made_at from checkpoint where workspace = ? and account = ? and bucket = ?

-- name: grants
select account, terms, voided, gone from grants
where workspace = ? and account = ? and (created_at, id) < (?, ?) order by created_at desc, id desc limit ?

-- A grant and the entry that made it have the same digits; users are found by the ids of their accounts.
-- name: allocations
select g.id, g.account, g.amount, g.created_at, g.expires_at, e.actor, e.description, u.username, u.email
from grants g
    left join entry e on e.id = 'ent' || substr(g.id, 4) and e.bucket = g.bucket
    left join users u on u.workspace = g.workspace and u.id = g.account
where g.workspace = ? and (g.created_at, g.id) < (?, ?)
order by g.created_at desc, g.id desc limit ?

-- name: grant
select account, terms, voided, gone from grants where id = ? and bucket = ? and workspace = ?

-- name: holds
select terms from hold where workspace = ? and account = ? and id < ? order by id desc limit ?

-- The live ones are found first, by the index that has no others, and put in order afterwards.
-- name: live_holds
with live as materialized (
    select id, bucket from hold where workspace = ? and account = ? and state = 'live' and expires_at > ?
), chosen as (
    select id, bucket from live where id < ? order by id desc limit ?
)
select h.terms from chosen c join hold h on h.id = c.id and h.bucket = c.bucket order by h.id desc

-- name: payments
select workspace, provider, object, account, entry, at from payment
where workspace = ? and at <= ? and (at, provider, object) < (?, ?, ?)
order by at desc, provider desc, object desc limit ?

-- name: payments_of
select workspace, provider, object, account, entry, at from payment
where workspace = ? and account = ? and at <= ? and (at, provider, object) < (?, ?, ?)
order by at desc, provider desc, object desc limit ?

-- name: payment
select workspace, provider, object, account, entry, at from payment where workspace = ? and provider = ? and object = ?
