-- Plans.

-- name: plan
select document, created_at, updated_at, archived_at from plan where workspace = ? and id = ?

-- name: plans
select document, created_at, updated_at, archived_at from plan where workspace = ? order by id

-- name: put_plan
insert into plan (workspace, id, document, created_at, updated_at) values (?, ?, ?, ?, ?)
on conflict (workspace, id) do update
set document = excluded.document, updated_at = excluded.updated_at, archived_at = null

-- name: archive_plan
update plan set archived_at = ?, updated_at = ? where workspace = ? and id = ?
