-- Products.

-- name: product
select document, created_at, updated_at, archived_at from product where workspace = ? and id = ?

-- name: products
select document, created_at, updated_at, archived_at from product where workspace = ? order by id

-- name: plan_ids
select id from plan where workspace = ?

-- name: put_product
insert into product (workspace, id, document, created_at, updated_at) values (?, ?, ?, ?, ?)
on conflict (workspace, id) do update
set document = excluded.document, updated_at = excluded.updated_at, archived_at = null

-- name: archive_product
update product set archived_at = ?, updated_at = ? where workspace = ? and id = ?
