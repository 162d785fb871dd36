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
select due_at, event, bucket, account, number from outbox
where workspace = ? and endpoint = ? and lined = 0 and due_at <= ? order by due_at, number, event limit ?

-- The next of a line, where nothing of it is on its way or waits for another try: due since it happened, it comes before
-- what is not lined up yet.
-- name: next_of_line
update outbox set due_at = coalesce((
    select e.at from event e where e.workspace = outbox.workspace and e.id = outbox.event and e.bucket = outbox.bucket
), ?)
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
select account from event where workspace = ? and id = ? and bucket = ?

-- name: put
insert into outbox (workspace, endpoint, bucket, due_at, event, account, number, attempts)
values (?, ?, ?, ?, ?, ?, 0, 0)
on conflict do nothing

-- name: due_now
update outbox set due_at = ?, attempts = 0
where workspace = ? and endpoint = ? and due_at = ? and event = ? and bucket = ?

-- What is shown.

-- name: tries
select workspace, endpoint, event, bucket, attempt, at, type, outcome, status, detail, millis from delivery
where workspace = ? and endpoint = ? and (at, event, attempt) < (?, ?, ?) and (cast(? as text) = '' or outcome = ?)
order by at desc, event desc, attempt desc limit ?

-- The index of what was not delivered is found by these very words.
-- name: tries_failed
select workspace, endpoint, event, bucket, attempt, at, type, outcome, status, detail, millis from delivery
where workspace = ? and endpoint = ? and (at, event, attempt) < (?, ?, ?) and outcome = ? and outcome <> 'delivered'
order by at desc, event desc, attempt desc limit ?

-- name: waiting
select due_at, event, bucket, account, number, attempts from outbox
where workspace = ? and endpoint = ? order by due_at, event limit ?

-- What waits in all, for those that are sent something; of more than there is room for here, it is so many.
-- name: figures
select count(*), min(event) from (
    select o.event from webhook_endpoint e cross join outbox o
    where e.state = 'enabled' and e.url <> '' and o.workspace = e.workspace and o.endpoint = e.id limit ?
) w

-- What is old. The pairs are walked one by one: each is found at once.

-- name: next_waiting
select o.workspace, o.endpoint,
    exists (select 1 from webhook_endpoint e where e.workspace = o.workspace and e.id = o.endpoint)
from outbox o where (o.workspace, o.endpoint) > (?, ?) order by o.workspace, o.endpoint limit 1

-- name: drop_homeless
delete from outbox where workspace = ? and endpoint = ? and not exists (
    select 1 from webhook_endpoint e where e.workspace = ? and e.id = ?
)
returning 1

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
    select workspace, id, bucket from event
    where workspace = ? and id < ? and at < ? and (once is null or at < ?) order by id limit ?
)
returning 1
