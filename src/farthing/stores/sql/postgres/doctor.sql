-- What doctor reads and a rebuild writes: what only PostgreSQL says this way.

-- name: durability
select current_setting('fsync'), current_setting('full_page_writes'), current_setting('synchronous_commit')

-- name: lock_account
select 1 from account where workspace = ? and id = ? and bucket = ? for update

-- name: ahead_entries
select e.*
from unnest(cast(? as text[]), cast(? as text[])) u (workspace, account)
    cross join lateral (
        select e.workspace, e.account, e.bucket, e.number, e.id, e.kind, e.amount, e.balance, e.held, e.debt, e.at,
            e.key, e.fingerprint, e.actor, e.request_id, e.operation, e.description, e.metadata, e.body, e.version, e.hash,
            (
                select k.number from key k
                where k.workspace = e.workspace and k.key = e.key and k.account = e.account and k.bucket = e.bucket
            ),
            exists (select 1 from charge c where c.id = e.id and c.bucket = e.bucket),
            x.entry is not null, x.description, x.metadata
        from entry e left join erased x on x.entry = e.id and x.bucket = e.bucket
        where e.workspace = u.workspace and e.account = u.account and e.number > 0
        order by e.number limit ?
    ) e

-- name: ahead_checkpoints
select p.workspace, p.account, p.bucket, p.state, p.used_until, p.archive, p.made_at
from unnest(cast(? as text[]), cast(? as text[]), cast(? as smallint[])) u (workspace, account, bucket)
    cross join lateral (
        select * from checkpoint p
        where p.workspace = u.workspace and p.account = u.account and p.bucket = u.bucket limit 1
    ) p

-- name: ahead_grants
select g.*
from unnest(cast(? as text[]), cast(? as text[])) u (workspace, account)
    cross join lateral (
        select g.workspace, g.account, g.bucket, g.amount, g.created_at, g.expires_at, g.terms, g.voided, g.gone, g.id
        from grants g where g.workspace = u.workspace and g.account = u.account limit ?
    ) g

-- name: ahead_due
select j.workspace, j.subject, j.bucket, j.due_at
from unnest(cast(? as text[]), cast(? as text[]), cast(? as smallint[])) u (workspace, account, bucket)
    cross join lateral (
        select * from job j
        where j.kind = 'account' and j.workspace = u.workspace and j.subject = u.account and j.bucket = u.bucket limit 1
    ) j

-- name: ahead_subscriptions
select s.workspace, s.account, s.bucket, s.id, s.plan, s.billed_by, s.next_at, s.ends_at, s.ended_at, s.terms
from unnest(cast(? as text[]), cast(? as text[]), cast(? as smallint[])) u (workspace, account, bucket)
    cross join lateral (
        select * from subscription s
        where s.workspace = u.workspace and s.account = u.account and s.bucket = u.bucket limit 1
    ) s

-- name: schema
with here as (select oid from pg_namespace where nspname = current_schema()),
    ours as (
        select c.* from pg_class c join here on here.oid = c.relnamespace where c.relkind in ('r', 'p') and not exists (
            select 1 from pg_depend d
            where d.classid = cast('pg_class' as regclass) and d.objid = c.oid and d.deptype = 'e'
        )
    )
select 'table', cast(t.relname as text), concat_ws(' ', t.relkind, t.relpersistence, t.relrowsecurity) from ours t
union all
select 'column', t.relname || '.' || a.attname, concat_ws(
    ' ', format_type(a.atttypid, a.atttypmod), a.attnotnull, a.attidentity, a.attgenerated,
    cast(nullif(a.attcollation, 0) as regcollation), pg_get_expr(d.adbin, d.adrelid)
)
from ours t
    join pg_attribute a on a.attrelid = t.oid and a.attnum > 0 and not a.attisdropped
    left join pg_attrdef d on d.adrelid = t.oid and d.adnum = a.attnum
union all
select 'index', i.relname, concat_ws(' ', pg_get_indexdef(i.oid, 0, true), x.indisvalid, x.indisready)
from ours t join pg_index x on x.indrelid = t.oid join pg_class i on i.oid = x.indexrelid
union all
select 'constraint', c.conname || ' of ' || t.relname, concat_ws(' ', pg_get_constraintdef(c.oid, true), c.convalidated)
from ours t join pg_constraint c on c.conrelid = t.oid where c.contype in ('c', 'f', 'p', 'u', 'x')
union all
select 'trigger', r.tgname, concat_ws(' ', pg_get_triggerdef(r.oid, true), r.tgenabled)
from ours t join pg_trigger r on r.tgrelid = t.oid where not r.tgisinternal
union all
select 'function', p.proname, concat_ws(' ', pg_get_function_identity_arguments(p.oid), p.prosrc)
from pg_proc p join here on here.oid = p.pronamespace

-- name: tables
select format('%I', c.relname)
from pg_class c join pg_namespace n on n.oid = c.relnamespace
where n.nspname = current_schema() and c.relkind = 'r' order by c.relname

-- name: amcheck
select format('%I', n.nspname) from pg_extension x join pg_namespace n on n.oid = x.extnamespace 
where x.extname = 'amcheck'
    and has_function_privilege(to_regprocedure(format('%I.bt_index_check(regclass, boolean)', n.nspname)), 'execute')

-- name: indexes
select i.relname, cast(i.oid as bigint)
from pg_index x
    join pg_class i on i.oid = x.indexrelid
    join pg_namespace n on n.oid = i.relnamespace
    join pg_am a on a.oid = i.relam
where n.nspname = current_schema() and a.amname = 'btree' and x.indisvalid
order by i.relname

-- The next accounts that a table names, and whether they have rows: a step of an index each, whatever it holds.

-- name: owners_in_entry
with recursive o (workspace, account, n) as (
    (select workspace, account, 1 from entry where (workspace, account) > (?, ?) order by workspace, account limit 1)
    union all
    select e.workspace, e.account, o.n + 1
    from o cross join lateral (
        select r.workspace, r.account from entry r where (r.workspace, r.account) > (o.workspace, o.account)
        order by r.workspace, r.account limit 1
    ) e
    where o.n < ?
)
select o.workspace, o.account, exists (select 1 from account a where a.workspace = o.workspace and a.id = o.account)
from o order by o.n

-- name: owners_in_grants
with recursive o (workspace, account, n) as (
    (select workspace, account, 1 from grants where (workspace, account) > (?, ?) order by workspace, account limit 1)
    union all
    select e.workspace, e.account, o.n + 1
    from o cross join lateral (
        select r.workspace, r.account from grants r where (r.workspace, r.account) > (o.workspace, o.account)
        order by r.workspace, r.account limit 1
    ) e
    where o.n < ?
)
select o.workspace, o.account, exists (select 1 from account a where a.workspace = o.workspace and a.id = o.account)
from o order by o.n

-- name: owners_in_subscription
select o.workspace, o.account, exists (select 1 from account a where a.workspace = o.workspace and a.id = o.account)
from (
    select workspace, account from subscription where (workspace, account) > (?, ?) order by workspace, account limit ?
) o
order by o.workspace, o.account

-- name: owners_in_job
with recursive o (workspace, account, n) as (
    (
        select workspace, subject, 1 from job where kind = 'account' and (workspace, subject) > (?, ?)
        order by workspace, subject limit 1
    )
    union all
    select e.workspace, e.subject, o.n + 1
    from o cross join lateral (
        select r.workspace, r.subject from job r
        where r.kind = 'account' and (r.workspace, r.subject) > (o.workspace, o.account)
        order by r.workspace, r.subject limit 1
    ) e
    where o.n < ?
)
select o.workspace, o.account, exists (select 1 from account a where a.workspace = o.workspace and a.id = o.account)
from o order by o.n

-- The next entries that reports count, in the order of their accounts, with the rows of their usage.

-- name: counted
select e.workspace, e.account, e.number, e.lane, e.batch, e.id, e.kind, e.at, e.operation, e.body,
    u.id, u.workspace, u.account, u.bucket, u.at, u.booked_at, u.service, u.operation, u.provider, u.model, u.chat,
    u.input_tokens, u.output_tokens, u.tokens, u.amount, u.cost, u.unpriced
from (
        select * from entry
        where (workspace, account, number) > (?, ?, ?) and kind in ('charge', 'settle', 'expire', 'refund')
        order by workspace, account, number limit ?
    ) e
    left join lateral (select * from usage u where u.id = e.id and u.bucket = e.bucket limit 1) u on true
order by e.workspace, e.account, e.number

-- name: charges_named
select e.id, e.workspace, e.account, e.kind, e.at, e.operation, e.body
from json_array_elements(cast(? as json)) r
    cross join lateral (
        select * from entry e where e.id = r ->> 0 and e.bucket = cast(r ->> 1 as smallint) limit 1
    ) e
