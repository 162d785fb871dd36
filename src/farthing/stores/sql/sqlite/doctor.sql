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

-- name: owner_in_job
select o.workspace, o.account, exists (select 1 from account a where a.workspace = o.workspace and a.id = o.account)
from (
    select workspace, subject as account from job
    where kind = 'account' and (workspace, subject) > (?, ?) order by workspace, subject limit 1
) o
