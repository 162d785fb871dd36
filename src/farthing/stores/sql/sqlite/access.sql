-- Who may ask: workspaces, their settings, API keys, the audit log; and the version that caches hang on.

-- name: insert_workspace
insert into workspace (id, name, mode, unit, scale, created_at, settings) values (?, ?, ?, ?, ?, ?, ?)

-- name: workspace_exists
select 1 from workspace where id = ?

-- name: settings
select settings from workspace where id = ?

-- name: update_settings
update workspace set settings = ? where id = ?

-- name: insert_key
insert into api_key (id, workspace, hash, hint, name, scopes, created_at, expires_at) values (?, ?, ?, ?, ?, ?, ?, ?)

-- name: key_by_hash
select k.id, k.workspace, w.mode, k.scopes, k.expires_at, k.revoked_at, w.settings
from api_key k join workspace w on w.id = k.workspace where k.hash = ?

-- name: keys
select id, workspace, hint, name, scopes, created_at, expires_at, revoked_at
from api_key where workspace = ? order by created_at, id

-- name: key
select id, workspace, hint, name, scopes, created_at, expires_at, revoked_at from api_key where id = ?

-- name: revoke_key
update api_key set revoked_at = ? where id = ? and revoked_at is null

-- name: end_key
update api_key set expires_at = ? where id = ? and (expires_at is null or expires_at > ?)

-- name: insert_audit
insert into audit (workspace, at, actor, request_id, action, subject, entry, detail) values (?, ?, ?, ?, ?, ?, '', ?)

-- name: audit
select position, at, actor, request_id, action, subject, entry, detail
from audit where workspace = ? and position < ? order by position desc limit ?

-- name: accept_clock
insert into config (name, value) values ('clock_accepted', ?) on conflict do update set value = excluded.value

-- name: config_version
select cast(value as integer) from config where name = 'version'

-- name: raise_config_version
update config set value = cast(cast(value as integer) + 1 as text) where name = 'version'
