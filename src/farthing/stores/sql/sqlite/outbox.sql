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
select k.value from json_each(?) k
where exists (
    select 1 from outbox o where o.workspace = ? and o.endpoint = ? and o.lined = 1 and o.account = k.value
)

-- The first of lines, in their order: packed, since nothing else is looked up anew for each line, and unpacked.
-- name: behind
select v.value ->> 0, v.value ->> 1, k.account, v.value ->> 2, v.value ->> 3, v.value ->> 4
from (select ? as workspace, ? as endpoint, value as account from json_each(?)) k
cross join json_each((
    select json_group_array(json_array(o.event, o.bucket, o.number, o.attempts, o.due_at)) from (
        select * from outbox b
        where b.workspace = k.workspace and b.endpoint = k.endpoint and b.lined = 1 and b.account = k.account
        order by b.number, b.event limit 1 + ?
    ) o
)) v
order by k.account, v.id

-- name: line_up
update outbox as o set lined = 1, due_at = k.value ->> 5
from json_each(?) k
where o.workspace = k.value ->> 0 and o.endpoint = k.value ->> 1 and o.due_at = k.value ->> 2
    and o.event = k.value ->> 3 and o.bucket = k.value ->> 4

-- name: drop
delete from outbox where (workspace, endpoint, due_at, event, bucket) in (
    select k.value ->> 0, k.value ->> 1, k.value ->> 2, k.value ->> 3, k.value ->> 4 from json_each(?) k
)

-- name: put_off
update outbox as o set due_at = k.value ->> 5, attempts = k.value ->> 6
from json_each(?) k
where o.workspace = k.value ->> 0 and o.endpoint = k.value ->> 1 and o.due_at = k.value ->> 2
    and o.event = k.value ->> 3 and o.bucket = k.value ->> 4

-- A page of events, and whether each was delivered or waits. What waits is not found by its events: it is read once.
-- name: events_since
select e.id, e.bucket, e.type, e.account, e.id in (
    select o.event from outbox o where o.workspace = ? and o.endpoint = ?
) or exists (
    select 1 from delivery d
    where d.workspace = e.workspace and d.endpoint = ? and d.event = e.id and d.outcome = 'delivered'
)
from (select * from event where workspace = ? and id > ? and at >= ? order by id limit ?) e
order by e.id

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
