-- Retention: what only SQLite says this way.

-- What an account's entries are, with what other tables have under their ids, and where they stand in their lane. The last
-- entry of all stays: its place would be given to the next one, which then passed for folded.
-- name: aging
select e.workspace, e.account, e.bucket, e.number, e.id, e.kind, e.amount, e.balance, e.held, e.debt, e.at, e.key,
    e.fingerprint, e.actor, e.request_id, e.operation, e.description, e.metadata, e.body, e.version, e.hash,
    x.entry is not null, x.description, x.metadata, c.terms, 0, e.position,
    e.position = (select max(position) from entry),
    u.id, u.workspace, u.account, u.bucket, u.at, u.booked_at, u.service, u.operation, u.provider, u.model, u.chat,
    u.input_tokens, u.output_tokens, u.tokens, u.amount, u.cost, u.unpriced
from entry e
    left join erased x on x.entry = e.id and x.bucket = e.bucket
    left join charge c on c.id = e.id and c.bucket = e.bucket
    left join usage u on u.id = e.id and u.bucket = e.bucket
where e.workspace = ? and e.account = ? and e.number > ? order by e.number limit ?

-- name: retire
insert into retiring (txid) values (1)

-- name: retired
delete from retiring

-- name: erased_of
select entry, description, metadata from erased where entry in (select value from json_each(?)) and bucket = ?

-- Who writes is alone.
-- name: lock_owner
select 1 from account where workspace = ? and id = ? and bucket = ?

-- name: drop_usage
delete from usage where id in (select value from json_each(?)) and bucket = ?

-- name: drop_erased
delete from erased where entry in (select value from json_each(?)) and bucket = ?

-- name: drop_entries
delete from entry where id in (select value from json_each(?)) and bucket = ?

-- name: drop_charges
delete from charge where id in (select value from json_each(?)) and bucket = ?

-- name: keep_keys
insert into kept_key (workspace, key, account, bucket, number, fingerprint, answer) values (?, ?, ?, ?, ?, ?, ?)
on conflict do nothing

-- name: kept_keys
select k.workspace, k.key, k.account, k.bucket, k.number, k.fingerprint, k.answer
from json_each(?) n cross join kept_key k
    on k.workspace = ? and k.key = n.value and k.account = ? and k.bucket = ?
