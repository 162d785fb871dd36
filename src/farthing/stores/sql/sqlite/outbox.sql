-- The outbox: what only SQLite says this way.

-- Who sends takes some that are due, the longest overdue first, for a while: nobody else is given them meanwhile.

-- name: take
update outbox set due_at = ?
where (workspace, endpoint, due_at, event, bucket) in (
    select workspace, endpoint, due_at, event, bucket from outbox
    where workspace = ? and endpoint = ? and lined = ? and due_at <= ? order by due_at, event limit ?
)
returning event, bucket, account, number, attempts

-- name: events
select e.workspace, e.id, e.bucket, e.type, e.account, e.at, e.data
from json_each(?) k cross join event e
on e.workspace = k.value ->> 0 and e.id = k.value ->> 1 and e.bucket = k.value ->> 2

-- name: lines
select distinct account from outbox
where workspace = ? and endpoint = ? and lined = 1 and account in (select value from json_each(?))

-- name: line_up
update outbox as o set lined = 1, due_at = k.value ->> 3
from json_each(?) k
where o.workspace = ? and o.endpoint = ? and o.due_at = k.value ->> 0 and o.event = k.value ->> 1
    and o.bucket = k.value ->> 2

-- name: drop
delete from outbox where (workspace, endpoint, due_at, event, bucket) in (
    select k.value ->> 0, k.value ->> 1, k.value ->> 2, k.value ->> 3, k.value ->> 4 from json_each(?) k
)

-- name: put_off
update outbox as o set due_at = k.value ->> 5, attempts = k.value ->> 6
from json_each(?) k
where o.workspace = k.value ->> 0 and o.endpoint = k.value ->> 1 and o.due_at = k.value ->> 2
    and o.event = k.value ->> 3 and o.bucket = k.value ->> 4

-- name: log
insert into delivery (workspace, endpoint, event, bucket, attempt, at, type, outcome, status, detail, millis)
select k.value ->> 0, k.value ->> 1, k.value ->> 2, k.value ->> 3, 1 + coalesce((
    select max(d.attempt) from delivery d
    where d.workspace = k.value ->> 0 and d.endpoint = k.value ->> 1 and d.event = k.value ->> 2
        and d.bucket = k.value ->> 3
), 0), k.value ->> 4, k.value ->> 5, k.value ->> 6, k.value ->> 7, k.value ->> 8, k.value ->> 9
from json_each(?) k
where true
on conflict do nothing
