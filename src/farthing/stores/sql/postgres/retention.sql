-- Retention: what only PostgreSQL says this way.

-- What an account's entries are, with what other tables have under their ids, and where they stand in their lane.
-- name: aging
select e.workspace, e.account, e.bucket, e.number, e.id, e.kind, e.amount, e.balance, e.held, e.debt, e.at, e.key,
    e.fingerprint, e.actor, e.request_id, e.operation, e.description, e.metadata, e.body, e.version, e.hash,
    x.entry is not null, x.description, x.metadata, c.terms, e.lane, e.batch, false,
    u.id, u.workspace, u.account, u.bucket, u.at, u.booked_at, u.service, u.operation, u.provider, u.model, u.chat,
    u.input_tokens, u.output_tokens, u.tokens, u.amount, u.cost, u.unpriced
from (select * from entry where workspace = ? and account = ? and number > ? order by number limit ?) e
    left join erased x on x.entry = e.id and x.bucket = e.bucket
    left join charge c on c.id = e.id and c.bucket = e.bucket
    left join usage u on u.id = e.id and u.bucket = e.bucket
order by e.number

-- name: retire
select farthing_retire()

-- name: retired
select farthing_retired()

-- name: erased_of
select x.entry, x.description, x.metadata
from json_array_elements_text(cast(? as json)) n (id) join erased x on x.entry = n.id and x.bucket = ?

-- Entries of an account leave by one hand at a time: who erases waits for who retires, and the other way round.
-- name: lock_owner
select 1 from account where workspace = ? and id = ? and bucket = ? for no key update

-- name: drop_usage
delete from usage u using json_array_elements_text(cast(? as json)) n (id) where u.id = n.id and u.bucket = ?

-- name: drop_erased
delete from erased x using json_array_elements_text(cast(? as json)) n (id) where x.entry = n.id and x.bucket = ?

-- name: drop_entries
delete from entry e using json_array_elements_text(cast(? as json)) n (id) where e.id = n.id and e.bucket = ?

-- name: drop_charges
delete from charge c using json_array_elements_text(cast(? as json)) n (id) where c.id = n.id and c.bucket = ?

-- name: keep_keys
insert into kept_key (workspace, key, account, bucket, number, fingerprint, answer)
select * from unnest(
    cast(? as text[]), cast(? as text[]), cast(? as text[]), cast(? as smallint[]), cast(? as bigint[]),
    cast(? as bytea[]), cast(? as text[])
)
on conflict (workspace, key, account, bucket) do nothing

-- name: kept_keys
select k.workspace, k.key, k.account, k.bucket, k.number, k.fingerprint, k.answer
from json_array_elements_text(cast(? as json)) n (key)
    cross join lateral (
        select * from kept_key k where k.workspace = ? and k.key = n.key and k.account = ? and k.bucket = ? limit 1
    ) k
