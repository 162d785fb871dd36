-- The outbox: what is still to be sent, and what came of each try. A row is named by its whole key, `due_at` included:
-- who has lost it to somebody else changes nothing.

-- Endpoints that something is due for. The least is looked up for each, so that it costs the same whatever waits.
-- name: due
select workspace, id, url, types, description, ordered, secrets, state, reason, failing_since, expires_at, created_at,
    updated_at
from (
    select e.*, (select min(o.due_at) from outbox o where o.workspace = e.workspace and o.endpoint = e.id) as first_at
    from webhook_endpoint e where e.state = 'enabled' and e.url <> ''
) d
where first_at <= ?

-- Lines: what came since the last time, and which accounts have one.

-- name: fresh
select due_at, event, bucket, account from outbox
where workspace = ? and endpoint = ? and lined = 0 and due_at <= ? order by due_at, number, event limit ?

-- The next of a line, where nothing of it is on its way or waits for another try.
-- name: next_of_line
update outbox set due_at = ?
where workspace = ? and endpoint = ? and lined = 1 and account = ? and due_at = ? and event = (
    select o.event from outbox o
    where o.workspace = ? and o.endpoint = ? and o.lined = 1 and o.account = ? order by o.number, o.event limit 1
)

-- Endpoints that don't ask for an order any more, and have lines.
-- name: needless_lines
select e.workspace, e.id from webhook_endpoint e
where e.ordered = 0 and e.url <> '' and exists (
    select 1 from outbox o where o.workspace = e.workspace and o.endpoint = e.id and o.lined = 1
)

-- name: end_lines
update outbox set lined = 0, due_at = case when due_at = ? then ? else due_at end
where workspace = ? and endpoint = ? and lined = 1

-- Since when an endpoint has taken nothing.
-- name: failing
update webhook_endpoint set failing_since = ? where workspace = ? and id = ? and failing_since is null

-- name: not_failing
update webhook_endpoint set failing_since = null where workspace = ? and id = ? and failing_since is not null

-- Sending again.

-- name: waits
select due_at from outbox where workspace = ? and endpoint = ? and event = ? and bucket = ?

-- name: event
select workspace, id, bucket, type, account, at, data from event where workspace = ? and id = ? and bucket = ?

-- name: put
insert into outbox (workspace, endpoint, bucket, due_at, event, account, number, attempts)
values (?, ?, ?, ?, ?, ?, 0, 0)

-- name: due_now
update outbox set due_at = ?, attempts = 0
where workspace = ? and endpoint = ? and due_at = ? and event = ? and bucket = ?

-- name: undelivered
select e.id, e.bucket, e.type, e.account from event e
where e.workspace = ? and e.id > ? and e.at >= ? and not exists (
    select 1 from delivery d
    where d.workspace = e.workspace and d.endpoint = ? and d.event = e.id and d.outcome = 'delivered'
) and e.id not in (select o.event from outbox o where o.workspace = ? and o.endpoint = ?)
order by e.id limit ?

-- What is shown.

-- name: tries
select workspace, endpoint, event, bucket, attempt, at, type, outcome, status, detail, millis from delivery
where workspace = ? and endpoint = ? and (at, event, attempt) < (?, ?, ?) and (cast(? as text) = '' or outcome = ?)
order by at desc, event desc, attempt desc limit ?

-- name: tries_of
select workspace, endpoint, event, bucket, attempt, at, type, outcome, status, detail, millis from delivery
where workspace = ? and endpoint = ? and event = ? order by attempt

-- name: waiting
select due_at, event, bucket, account, number, attempts from outbox
where workspace = ? and endpoint = ? order by due_at, event limit ?

-- What waits in all; of more than there is room for here, it is so many.
-- name: figures
select count(*), min(event) from (select event from outbox limit ?) o

-- What is old. The pairs are walked one by one: each is found at once.

-- name: next_logged
select workspace, endpoint from delivery where (workspace, endpoint) > (?, ?) order by workspace, endpoint limit 1

-- name: drop_tries
delete from delivery where (workspace, endpoint, event, attempt, bucket) in (
    select workspace, endpoint, event, attempt, bucket from delivery
    where workspace = ? and endpoint = ? and at < ? order by at limit ?
)
returning 1

-- name: next_told
select workspace from event where workspace > ? order by workspace limit 1

-- name: drop_events
delete from event where (workspace, id, bucket) in (
    select workspace, id, bucket from event where workspace = ? and id < ? and at < ? order by id limit ?
)
returning 1
