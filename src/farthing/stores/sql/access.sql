-- Who may ask: workspaces, their settings, API keys, the audit log; and the version that caches hang on.

-- name: insert_workspace
insert into workspace (id, name, mode, unit, scale, created_at, settings) values (?, ?, ?, ?, ?, ?, ?)

-- name: workspace_exists
select 1 from workspace where id = ?

-- name: settings
select settings from workspace where id = ?

-- name: settings_of_others
select settings from workspace where id <> ?

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

-- name: keys_page
select id, workspace, hint, name, scopes, created_at, expires_at, revoked_at
from api_key where workspace = ? and (created_at, id) > (?, ?) order by created_at, id limit ?

-- name: has_key
select 1 from api_key where workspace = ? limit 1

-- name: key
select id, workspace, hint, name, scopes, created_at, expires_at, revoked_at from api_key where id = ?

-- name: revoke_key
update api_key set revoked_at = ? where id = ? and revoked_at is null

-- name: end_key
update api_key set expires_at = ? where id = ? and (expires_at is null or expires_at > ?)

-- name: insert_audit
insert into audit (workspace, at, actor, request_id, action, subject, entry, detail) values (?, ?, ?, ?, ?, ?, '', ?)
returning position

-- Why something was done that wrote an entry, stands with the entry, where it can be erased.
-- name: audit
select a.position, a.at, a.actor, a.request_id, a.action, a.subject, a.entry, a.detail, e.description
from audit a left join entry e on e.id = a.entry
where a.workspace = ? and a.at >= ? and a.at < ? and (a.at, a.position) < (?, ?)
order by a.at desc, a.position desc limit ?

-- A key without an account stands for the audit record of what was done under it.
-- name: use_key
insert into key (workspace, key, account, bucket, number) values (?, ?, '', ?, ?)

-- name: first_act
select a.action, a.detail from key k join audit a on a.position = k.number
where k.workspace = ? and k.key = ? and k.account = '' and k.bucket = ?

-- name: workspaces_page
select id, name, mode, unit, scale, created_at, settings, told from workspace where id > ? order by id limit ?

-- name: insert_operator
insert into operator_key (id, hash, hint, name, created_at, expires_at) values (?, ?, ?, ?, ?, ?)

-- name: operator_by_hash
select id, expires_at, revoked_at from operator_key where hash = ?

-- name: operators
select id, '', hint, name, 'operator', created_at, expires_at, revoked_at from operator_key order by created_at, id

-- name: operator
select id, '', hint, name, 'operator', created_at, expires_at, revoked_at from operator_key where id = ?

-- name: revoke_operator
update operator_key set revoked_at = ? where id = ? and revoked_at is null

-- A secret of this ledger's processes, made by the first that needs it.
-- name: make_secret
insert into config (name, value) values (?, ?) on conflict (name) do nothing

-- name: config_value
select value from config where name = ?

-- name: accept_clock
insert into config (name, value) values ('clock_accepted', ?) on conflict (name) do update set value = excluded.value

-- name: raise_config_version
update config set value = cast(cast(value as integer) + 1 as text) where name = 'version'
