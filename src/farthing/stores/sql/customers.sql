-- As whom providers know accounts.

-- name: customer
select id from customer where workspace = ? and provider = ? and account = ?

-- name: known_since
select created_at from customer where workspace = ? and provider = ? and account = ?

-- name: add_customer
insert into customer (workspace, provider, account, id, created_at) values (?, ?, ?, ?, ?)
on conflict (workspace, provider, account) do nothing

-- name: forget_customer
delete from customer where workspace = ? and provider = ? and account = ? and id = ?
