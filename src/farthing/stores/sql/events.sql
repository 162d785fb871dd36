-- Events: what happened, for whoever wants to be told. Ids are ordered by time.

-- What is told once, and was told before, is not written.
-- name: insert
insert into event (workspace, id, bucket, type, account, at, data, once) values (?, ?, ?, ?, ?, ?, ?, ?)
on conflict (workspace, once, bucket) where once is not null do nothing
returning id

-- name: told
select told from workspace where id = ?

-- name: deliver
insert into outbox (workspace, endpoint, bucket, due_at, event, account, number, attempts) values (?, ?, ?, ?, ?, ?, ?, ?)

-- name: number
select number from account where workspace = ? and id = ? and bucket = ?

-- name: newest
select workspace, id, bucket, type, account, at, data from event
where workspace = ? and id > ? and id < ? and at >= ? and at < ? order by id desc limit ?

-- name: oldest
select workspace, id, bucket, type, account, at, data from event
where workspace = ? and id > ? and id < ? and at >= ? and at < ? order by id limit ?

-- name: newest_of_type
select workspace, id, bucket, type, account, at, data from event
where workspace = ? and type = ? and id > ? and id < ? and at >= ? and at < ? order by id desc limit ?

-- name: oldest_of_type
select workspace, id, bucket, type, account, at, data from event
where workspace = ? and type = ? and id > ? and id < ? and at >= ? and at < ? order by id limit ?

-- name: ids
select id from event where workspace = ? and id > ? order by id limit ?
