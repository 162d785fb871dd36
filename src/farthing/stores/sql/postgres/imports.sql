-- Imports: what only PostgreSQL says this way. Many names, or rows, come as one JSON text.

-- The fingerprint of a key that another system had answered stands with its answer: its number is that of another entry.
-- name: keys
select k.key, k.account, coalesce(a.fingerprint, e.fingerprint)
from jsonb_array_elements(cast(cast(? as text) as jsonb)) u (value)
    cross join lateral (
        select * from key k where k.workspace = ? and k.key = u.value ->> 0 and k.account = u.value ->> 1
            and k.bucket = cast(u.value ->> 2 as smallint) limit 1
    ) k
    left join lateral (
        select fingerprint from kept_key a where a.workspace = k.workspace and a.key = k.key and a.account = k.account
            and a.bucket = k.bucket limit 1
    ) a on true
    left join lateral (
        select fingerprint from entry e where e.workspace = k.workspace and e.account = k.account
            and e.number = k.number and e.bucket = k.bucket limit 1
    ) e on true

-- name: booked
select k.key, k.account, coalesce(e.amount, cast(cast(a.answer as jsonb) ->> 'amount' as bigint), 0)
from jsonb_array_elements(cast(cast(? as text) as jsonb)) u (value)
    cross join lateral (
        select * from key k where k.workspace = ? and k.key = u.value ->> 0 and k.account = u.value ->> 1
            and k.bucket = cast(u.value ->> 2 as smallint) limit 1
    ) k
    left join lateral (
        select amount from entry e where e.workspace = k.workspace and e.account = k.account
            and e.number = k.number and e.bucket = k.bucket and e.key = k.key limit 1
    ) e on true
    left join lateral (
        select answer from kept_key a where a.workspace = k.workspace and a.key = k.key and a.account = k.account
            and a.bucket = k.bucket limit 1
    ) a on true

-- name: users_there
select t.id
from jsonb_array_elements(cast(cast(? as text) as jsonb)) u (value)
    cross join lateral (
        select id from users t where t.workspace = u.value ->> 0 and t.id = u.value ->> 1 limit 1
    ) t

-- name: users_taken
select u.value ->> 1
from jsonb_array_elements(cast(cast(? as text) as jsonb)) u (value)
where exists (
        select 1 from users t where t.workspace = u.value ->> 0 and t.username_key = u.value ->> 3
            and t.username_key <> ''
    ) or exists (
        select 1 from users t where t.workspace = u.value ->> 0 and t.email_key = u.value ->> 5 and t.email_key <> ''
    )

-- name: insert_users
insert into users (
    workspace, id, username, username_key, email, email_key, role, verified, password, created_at, updated_at
)
select value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5, value ->> 6,
    cast(value ->> 7 as smallint), value ->> 8, cast(value ->> 9 as bigint), cast(value ->> 10 as bigint)
from jsonb_array_elements(cast(cast(? as text) as jsonb)) u (value)

-- name: insert_audit
insert into audit (workspace, at, actor, request_id, action, subject, entry, detail)
select value ->> 0, cast(value ->> 1 as bigint), value ->> 2, value ->> 3, value ->> 4, value ->> 5, value ->> 6,
    value ->> 7
from jsonb_array_elements(cast(cast(? as text) as jsonb)) u (value)
