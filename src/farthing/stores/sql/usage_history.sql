-- Usage, listed: first where the rows of a page stand, by an index and with whether they are wanted; then those rows.

-- name: newest
select at, id, case when service = coalesce(cast(? as text), service) and operation = coalesce(cast(? as text), operation)
    and provider = coalesce(cast(? as text), provider) and model = coalesce(cast(? as text), model)
    and chat = coalesce(cast(? as text), chat) and unpriced = coalesce(cast(? as smallint), unpriced) then 1 else 0 end
from usage where workspace = ? and at >= ? and (at, id) < (?, ?) order by at desc, id desc limit ?

-- name: oldest
select at, id, case when service = coalesce(cast(? as text), service) and operation = coalesce(cast(? as text), operation)
    and provider = coalesce(cast(? as text), provider) and model = coalesce(cast(? as text), model)
    and chat = coalesce(cast(? as text), chat) and unpriced = coalesce(cast(? as smallint), unpriced) then 1 else 0 end
from usage where workspace = ? and at < ? and (at, id) > (?, ?) order by at, id limit ?

-- name: newest_of_account
select at, id, case when service = coalesce(cast(? as text), service) and operation = coalesce(cast(? as text), operation)
    and provider = coalesce(cast(? as text), provider) and model = coalesce(cast(? as text), model)
    and unpriced = coalesce(cast(? as smallint), unpriced) then 1 else 0 end
from usage
where workspace = ? and account = ? and at >= ? and (at, id) < (?, ?) order by at desc, id desc limit ?

-- name: oldest_of_account
select at, id, case when service = coalesce(cast(? as text), service) and operation = coalesce(cast(? as text), operation)
    and provider = coalesce(cast(? as text), provider) and model = coalesce(cast(? as text), model)
    and unpriced = coalesce(cast(? as smallint), unpriced) then 1 else 0 end
from usage where workspace = ? and account = ? and at < ? and (at, id) > (?, ?) order by at, id limit ?

-- name: newest_of_chat
select at, id, case when service = coalesce(cast(? as text), service) and operation = coalesce(cast(? as text), operation)
    and provider = coalesce(cast(? as text), provider) and model = coalesce(cast(? as text), model)
    and unpriced = coalesce(cast(? as smallint), unpriced) then 1 else 0 end
from usage
where workspace = ? and account = ? and chat = ? and chat <> '' and at >= ? and (at, id) < (?, ?)
order by at desc, id desc limit ?

-- name: oldest_of_chat
select at, id, case when service = coalesce(cast(? as text), service) and operation = coalesce(cast(? as text), operation)
    and provider = coalesce(cast(? as text), provider) and model = coalesce(cast(? as text), model)
    and unpriced = coalesce(cast(? as smallint), unpriced) then 1 else 0 end
from usage
where workspace = ? and account = ? and chat = ? and chat <> '' and at < ? and (at, id) > (?, ?)
order by at, id limit ?

-- Charges in the order of their booking, in which an account's balance has moved, with their usage where they have any.
-- name: booked
select u.id, u.workspace, u.account, u.bucket, u.at, u.booked_at, u.service, u.operation, u.provider, u.model, u.chat,
    u.input_tokens, u.output_tokens, u.tokens, u.amount, u.cost, u.unpriced,
    e.workspace, e.account, e.bucket, e.number, e.id, e.kind, e.amount, e.balance, e.held, e.debt, e.at, e.key,
    e.fingerprint, e.actor, e.request_id, e.operation, e.description, e.metadata, e.body, e.version, e.hash
from entry e left join usage u on u.id = e.id and u.bucket = e.bucket
where e.workspace = ? and e.kind in ('charge', 'settle', 'expire') and e.at >= ? and e.at < ? and (e.at, e.id) > (?, ?)
order by e.at, e.id limit ?

-- name: booked_size
select count(*) from entry where workspace = ? and at >= ? and at < ? and kind in ('charge', 'settle', 'expire')
