-- Imports: what only SQLite says this way. Many names, or rows, come as one JSON text.

-- The fingerprint of a key that another system had answered stands with its answer: its number is that of another entry.
-- name: keys
select k.key, k.account, coalesce(a.fingerprint, e.fingerprint)
from json_each(?) u cross join key k on k.workspace = ? and k.key = u.value ->> 0 and k.account = u.value ->> 1
        and k.bucket = u.value ->> 2
    left join kept_key a on a.workspace = k.workspace and a.key = k.key and a.account = k.account and a.bucket = k.bucket
    left join entry e on e.workspace = k.workspace and e.account = k.account and e.number = k.number
        and e.bucket = k.bucket

-- name: booked
select k.key, k.account, coalesce(e.amount, a.answer ->> 'amount', 0)
from json_each(?) u cross join key k on k.workspace = ? and k.key = u.value ->> 0 and k.account = u.value ->> 1
        and k.bucket = u.value ->> 2
    left join entry e on e.workspace = k.workspace and e.account = k.account and e.number = k.number
        and e.bucket = k.bucket and e.key = k.key
    left join kept_key a on a.workspace = k.workspace and a.key = k.key and a.account = k.account and a.bucket = k.bucket

-- name: users_there
select t.id from json_each(?) u cross join users t on t.workspace = u.value ->> 0 and t.id = u.value ->> 1

-- name: users_taken
select u.value ->> 1 from json_each(?) u where exists (
        select 1 from users t where t.workspace = u.value ->> 0 and t.username_key = u.value ->> 3
            and t.username_key <> ''
    ) or exists (
        select 1 from users t where t.workspace = u.value ->> 0 and t.email_key = u.value ->> 5 and t.email_key <> ''
    )

-- name: insert_users
insert into users (
    workspace, id, username, username_key, email, email_key, role, verified, password, created_at, updated_at
)
select value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5, value ->> 6, value ->> 7,
    value ->> 8, value ->> 9, value ->> 10
from json_each(?)

-- name: insert_audit
insert into audit (workspace, at, actor, request_id, action, subject, entry, detail)
select value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5, value ->> 6, value ->> 7
from json_each(?)
