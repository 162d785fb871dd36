-- What doctor reads: what only SQLite says this way.

-- name: durability
select (select journal_mode from pragma_journal_mode), (select synchronous from pragma_synchronous),
    (select application_id from pragma_application_id)

-- name: schema
-- (The table of migrations itself has grown a column, which the first version's has not yet.)
select type, name, sql from sqlite_schema where sql is not null and name not like 'sqlite_%' and name <> 'migration'

-- The next account that a table names, and whether it has a row: a step of an index, whatever it holds.

-- name: owner_in_entry
select o.workspace, o.account, exists (select 1 from account a where a.workspace = o.workspace and a.id = o.account)
from (
    select workspace, account from entry where (workspace, account) > (?, ?) order by workspace, account limit 1
) o

-- name: owner_in_grants
select o.workspace, o.account, exists (select 1 from account a where a.workspace = o.workspace and a.id = o.account)
from (
    select workspace, account from grants where (workspace, account) > (?, ?) order by workspace, account limit 1
) o

-- name: owner_in_subscription
select o.workspace, o.account, exists (select 1 from account a where a.workspace = o.workspace and a.id = o.account)
from (
    select workspace, account from subscription where (workspace, account) > (?, ?) order by workspace, account limit 1
) o

-- name: owner_in_job
select o.workspace, o.account, exists (select 1 from account a where a.workspace = o.workspace and a.id = o.account)
from (
    select workspace, subject as account from job
    where kind = 'account' and (workspace, subject) > (?, ?) order by workspace, subject limit 1
) o

-- The next entries that reports count, in the order of their accounts, with the rows of their usage.

-- (Bodies as bytes: what is no text is found by who reads it, and does not end the page.)

-- name: counted
select e.workspace, e.account, e.number, 0, e.position, e.id, e.kind, e.at, e.operation, cast(e.body as blob),
    u.id, u.workspace, u.account, u.bucket, u.at, u.booked_at, u.service, u.operation, u.provider, u.model, u.chat,
    u.input_tokens, u.output_tokens, u.tokens, u.amount, u.cost, u.unpriced
from entry e left join usage u on u.id = e.id and u.bucket = e.bucket
where (e.workspace, e.account, e.number) > (?, ?, ?) and e.kind in ('charge', 'settle', 'expire', 'refund')
order by e.workspace, e.account, e.number limit ?

-- name: charges_named
select e.id, e.workspace, e.account, e.kind, e.at, e.operation, cast(e.body as blob)
from json_each(?) r cross join entry e on e.id = r.value ->> 0 and e.bucket = r.value ->> 1
