-- Retention: what may be archived, what takes its place, and erasing texts.

-- The accounts of a workspace, each with the number of its last entry and the time of the first that is here.
-- name: aging_accounts
select a.id, a.bucket, a.number,
    (
        select e.at from entry e
        where e.workspace = a.workspace and e.account = a.id
            and e.number > coalesce(
                (
                    select p.number from checkpoint p
                    where p.workspace = a.workspace and p.account = a.id and p.bucket = a.bucket
                ),
                0
            )
        order by e.number limit 1
    )
from account a
where a.workspace = ? and a.id > ? order by a.id limit ?

-- What was written to an account after its entries were looked at and may be about archived ones.
-- name: later_acts
select workspace, account, bucket, number, id, kind, amount, balance, held, debt, at, key, fingerprint, actor, request_id,
    operation, description, metadata, body, version, hash
from entry
where workspace = ? and account = ? and number > ?
    and kind in ('refund', 'void', 'clawback', 'close', 'dispute', 'settle')
order by number

-- name: payments_between
select provider, object, entry from payment where workspace = ? and account = ? and at >= ? and at <= ?

-- name: keep_payment
update payment set answer = ? where workspace = ? and provider = ? and object = ?

-- name: put_checkpoint
insert into checkpoint (workspace, account, bucket, number, entry, at, used_until, hash, archive, made_at, state)
values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
on conflict (workspace, account, bucket) do update
set number = excluded.number, entry = excluded.entry, at = excluded.at, used_until = excluded.used_until,
    hash = excluded.hash, archive = excluded.archive, made_at = excluded.made_at, state = excluded.state

-- What providers have sent is needed no more once it is done, but for knowing it again.
-- name: old_messages
select count(*) from provider_event
where workspace = ? and received_at < ? and done_at is not null and body <> '' and outcome not like 'unmatched%'

-- name: forget_messages
update provider_event set body = '' where workspace = ? and (provider, id) in (
    select provider, id from provider_event
    where workspace = ? and received_at < ? and done_at is not null and body <> '' and outcome not like 'unmatched%'
    order by received_at limit ?
)
returning id

-- name: retention_of
select id, settings from workspace order by id

-- name: checkpoints
select workspace, account, bucket, number, state, used_until, archive, made_at from checkpoint
where (workspace, account) > (?, ?) order by workspace, account limit ?

-- name: checkpoint_totals
select workspace, count(*), sum(number), max(at), max(made_at), min(archive), max(archive)
from checkpoint group by workspace order by workspace
