-- Providers of payments.

-- name: provider
select id, document, created_at, updated_at from provider where workspace = ? and id = ?

-- name: providers
select id, document, created_at, updated_at from provider where workspace = ? order by id

-- name: put_provider
insert into provider (workspace, id, document, created_at, updated_at) values (?, ?, ?, ?, ?)
on conflict (workspace, id) do update set document = excluded.document, updated_at = excluded.updated_at

-- name: delete_provider
delete from provider where workspace = ? and id = ?
