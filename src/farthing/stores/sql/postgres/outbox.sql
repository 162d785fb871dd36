-- The outbox: what only PostgreSQL says this way.

-- Plans are made once, and the outbox is mostly empty then: they must be those of a long one.

-- name: look_ups
set local enable_seqscan = off

-- Who sends takes some that are due, the longest overdue first, for a while: nobody else is given them meanwhile.

-- By their places in the table, which the lock keeps: joined by their key, all that waits for the endpoint might be read.

-- name: take
update outbox set due_at = ?
where ctid = any(array(
    select ctid from outbox
    where workspace = ? and endpoint = ? and lined = ? and due_at <= ? order by due_at, event limit ?
    for update skip locked
))
returning event, bucket, account, number, attempts

-- name: events
select e.workspace, e.id, e.bucket, e.type, e.account, e.at, e.data
from unnest(cast(? as text[]), cast(? as text[]), cast(? as smallint[])) k (workspace, id, bucket)
join event e on e.workspace = k.workspace and e.id = k.id and e.bucket = k.bucket

-- In the order of the key alone, with all of the last instant: by their numbers as well, all that came might be sorted.

-- name: fresh
select due_at, event, bucket, account, number from outbox
where workspace = ? and endpoint = ? and lined = 0 and due_at <= ? order by due_at fetch first ? rows with ties

-- One look for each account: as a join, all lines of the endpoint might be read.

-- name: lines
select k.account from unnest(cast(? as text[])) k (account)
cross join lateral (
    select 1 from outbox o where o.workspace = ? and o.endpoint = ? and o.lined = 1 and o.account = k.account limit 1
) o

-- The first of lines, in their order.
-- name: behind
select o.event, o.bucket, o.account, o.number, o.attempts, o.due_at
from (
    select cast(? as text) as workspace, cast(? as text) as endpoint, a.account
    from unnest(cast(? as text[])) a (account)
) k
cross join lateral (
    select b.* from outbox b
    where b.workspace = k.workspace and b.endpoint = k.endpoint and b.lined = 1 and b.account = k.account
    order by b.number, b.event limit 1 + ?
) o
order by o.account, o.number, o.event

-- name: line_up
update outbox o set lined = 1, due_at = k.then_at
from unnest(
    cast(? as text[]), cast(? as text[]), cast(? as bigint[]), cast(? as text[]), cast(? as smallint[]),
    cast(? as bigint[])
) k (workspace, endpoint, due_at, event, bucket, then_at)
where o.workspace = k.workspace and o.endpoint = k.endpoint and o.due_at = k.due_at and o.event = k.event
    and o.bucket = k.bucket

-- name: drop
delete from outbox o
using unnest(cast(? as text[]), cast(? as text[]), cast(? as bigint[]), cast(? as text[]), cast(? as smallint[]))
    k (workspace, endpoint, due_at, event, bucket)
where o.workspace = k.workspace and o.endpoint = k.endpoint and o.due_at = k.due_at and o.event = k.event
    and o.bucket = k.bucket

-- name: put_off
update outbox o set due_at = k.then_at, attempts = k.attempts
from unnest(
    cast(? as text[]), cast(? as text[]), cast(? as bigint[]), cast(? as text[]), cast(? as smallint[]),
    cast(? as bigint[]), cast(? as smallint[])
) k (workspace, endpoint, due_at, event, bucket, then_at, attempts)
where o.workspace = k.workspace and o.endpoint = k.endpoint and o.due_at = k.due_at and o.event = k.event
    and o.bucket = k.bucket

-- A page of events, and whether each was delivered or waits. What waits is not found by its events: it is read once.
-- What was delivered is found by the key of its tries, since it is asked for in that order.

-- name: events_since
select e.id, e.bucket, e.type, e.account, o.event is not null or d.one is not null
from (select distinct event from outbox where workspace = ? and endpoint = ?) o
right join (
    select cast(? as text) collate "C" as endpoint, event.* from event
    where workspace = ? and id > ? and at >= ? order by id limit ?
) e on e.id = o.event
left join lateral (
    select 1 as one from delivery t
    where t.workspace = e.workspace and t.endpoint = e.endpoint and t.event = e.id and t.outcome = 'delivered'
    order by t.attempt, t.bucket limit 1
) d on true
order by e.id

-- name: log
insert into delivery (workspace, endpoint, event, bucket, attempt, at, type, outcome, status, detail, millis)
select k.workspace, k.endpoint, k.event, k.bucket, 1 + coalesce((
    select max(d.attempt) from delivery d
    where d.workspace = k.workspace and d.endpoint = k.endpoint and d.event = k.event and d.bucket = k.bucket
), 0), k.at, k.type, k.outcome, k.status, k.detail, k.millis
from unnest(
    cast(? as text[]), cast(? as text[]), cast(? as text[]), cast(? as smallint[]), cast(? as bigint[]),
    cast(? as text[]), cast(? as text[]), cast(? as smallint[]), cast(? as text[]), cast(? as integer[])
) k (workspace, endpoint, event, bucket, at, type, outcome, status, detail, millis)
on conflict do nothing
