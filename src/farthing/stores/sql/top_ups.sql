-- Automatic top-ups.

-- name: standing
select document from auto_top_up where workspace = ? and account = ? and bucket = ?

-- name: put_standing
insert into auto_top_up (workspace, account, bucket, paused, document, updated_at) values (?, ?, ?, ?, ?, ?)
on conflict (workspace, account, bucket) do update
set paused = excluded.paused, document = excluded.document, updated_at = excluded.updated_at

-- name: paused
select account, document from auto_top_up where workspace = ? and account > ? and paused <> '' order by account limit ?

-- name: attempt
select document from top_up where workspace = ? and id = ? and bucket = ?

-- name: put_attempt
insert into top_up (workspace, account, bucket, id, state, credits, at, document) values (?, ?, ?, ?, ?, ?, ?, ?)
on conflict (workspace, id, bucket) do update set state = excluded.state, document = excluded.document

-- name: attempts
select document from top_up where workspace = ? and account = ? and (at, id) < (?, ?) order by at desc, id desc limit ?

-- name: latest
select document from top_up where workspace = ? and account = ? and state <> 'done' order by at desc, id desc limit ?

-- What counts against a cap.
-- name: bought
select cast(coalesce(sum(credits), 0) as bigint) from top_up
where workspace = ? and account = ? and at >= ? and state not in ('declined', 'authentication_required', 'failed')

-- name: account
select balance, settings from account where workspace = ? and id = ? and bucket = ?

-- name: set_due
insert into job (kind, workspace, subject, bucket, due_at) values ('top_up', ?, ?, ?, ?)
on conflict (kind, workspace, subject, bucket) do update
set due_at = excluded.due_at, attempts = 0, locked_until = 0, last_error = null, parked_at = null

-- name: drop_due
delete from job where kind = 'top_up' and workspace = ? and subject = ? and bucket = ?

-- Whoever brings the account below its threshold from now on waits here, and is then seen by who looks next.
-- name: hold_due
select 1 from job where kind = 'top_up' and workspace = ? and subject = ? and bucket = ?
