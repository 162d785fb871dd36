-- Events: what happened, for whoever wants to be told. Ids are ordered by time.

-- name: insert
insert into event (workspace, id, bucket, type, account, at, data) values (?, ?, ?, ?, ?, ?, ?)

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
