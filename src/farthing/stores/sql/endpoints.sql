-- Endpoints: where events go. Those without an address are listeners.

-- name: endpoint
select workspace, id, url, types, description, ordered, secrets, state, reason, failing_since, expires_at, created_at,
    updated_at
from webhook_endpoint where workspace = ? and id = ?

-- name: endpoints
select workspace, id, url, types, description, ordered, secrets, state, reason, failing_since, expires_at, created_at,
    updated_at
from webhook_endpoint where workspace = ? order by created_at, id

-- name: put
insert into webhook_endpoint (workspace, id, url, types, description, ordered, secrets, state, reason, failing_since,
    expires_at, created_at, updated_at)
values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
on conflict (workspace, id) do update set url = excluded.url, types = excluded.types,
    description = excluded.description, ordered = excluded.ordered, secrets = excluded.secrets, state = excluded.state,
    reason = excluded.reason, failing_since = excluded.failing_since, expires_at = excluded.expires_at,
    updated_at = excluded.updated_at

-- name: delete
delete from webhook_endpoint where workspace = ? and id = ?

-- name: delete_lapsed
delete from webhook_endpoint where workspace = ? and url = '' and expires_at <= ?

-- What waited for an endpoint that is gone goes nowhere.
-- name: delete_waiting
delete from outbox where workspace = ? and endpoint = ?

-- name: set_told
update workspace set told = ? where id = ?

-- Listeners whose process went without a word.
-- name: lapsed
select distinct workspace from webhook_endpoint where url = '' and expires_at <= ?
