-- The login service: sessions, codes that were mailed, and what failed lately.

-- name: insert_session
insert into login_session (id, workspace, user_id, turn, created_at, used_at, expires_at) values (?, ?, ?, 1, ?, ?, ?)

-- name: turn_session
update login_session set turn = turn + 1, used_at = ?, expires_at = ?
where id = ? and workspace = ? and turn = ? and ended_at is null and expires_at > ?
returning user_id, turn

-- name: live_session
select user_id, turn from login_session where id = ? and workspace = ? and ended_at is null and expires_at > ?

-- name: live_sessions
select id, turn, created_at, used_at, expires_at from login_session
where workspace = ? and user_id = ? and ended_at is null and expires_at > ? order by created_at, id

-- name: end_session
update login_session set ended_at = ?, ended_by = ? where workspace = ? and user_id = ? and id = ? and ended_at is null
returning id

-- name: end_sessions
update login_session set ended_at = ?, ended_by = ? where workspace = ? and user_id = ? and ended_at is null
returning id

-- name: forget_sessions
delete from login_session where expires_at < ?

-- Who bears a token of a session, as long as that lives.
-- name: bearer
select u.workspace, u.id, u.username, u.email, u.role, u.verified, u.password, u.created_at, u.updated_at
from login_session s join users u on u.workspace = s.workspace and u.id = s.user_id
where s.id = ? and s.workspace = ? and s.user_id = ? and s.ended_at is null and s.expires_at > ?

-- name: insert_code
insert into login_code (workspace, purpose, hash, user_id, email_key, created_at, expires_at)
values (?, ?, ?, ?, ?, ?, ?)
on conflict do nothing
returning user_id

-- name: code
select user_id, email_key from login_code where workspace = ? and purpose = ? and hash = ? and expires_at > ?

-- name: void_codes
delete from login_code where workspace = ? and user_id = ? and purpose = ?

-- name: void_all_codes
delete from login_code where workspace = ? and user_id = ?

-- name: failures
select failures, last_at from login_failure where workspace = ? and subject = ?

-- name: count_failure
insert into login_failure (workspace, subject, failures, first_at, last_at) values (?, ?, 1, ?, ?)
on conflict (workspace, subject) do update set failures = login_failure.failures + 1, last_at = excluded.last_at

-- name: forgive
delete from login_failure where workspace = ? and subject = ?

-- name: take_back
update login_failure set failures = failures - 1 where workspace = ? and subject = ? and failures > 0

-- name: forget_failures
delete from login_failure where last_at < ?
