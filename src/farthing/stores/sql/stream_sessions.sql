-- Streaming sessions with the hold that has what became of their credits.

-- name: session
select s.account, s.session, s.model, s.estimated, s.started_at, s.ended_at, s.failed, h.terms
from stream_session s cross join hold h
where s.workspace = ? and s.account = ? and s.session = ? and s.bucket = ? and h.id = s.hold and h.bucket = s.bucket

-- Those that nobody has ended, newest first. One whose hold has expired is no longer open, but may have been lately.
-- name: open_of_all
select s.account, s.session, s.model, s.estimated, s.started_at, s.ended_at, s.failed, h.terms
from stream_session s cross join hold h
where s.workspace = ? and s.ended_at is null and s.started_at >= ?
    and h.id = s.hold and h.bucket = s.bucket and h.state = coalesce(cast(? as text), h.state) and h.expires_at > ?
order by s.started_at desc, s.account, s.session limit ?

-- name: open_of_account
select s.account, s.session, s.model, s.estimated, s.started_at, s.ended_at, s.failed, h.terms
from stream_session s cross join hold h
where s.workspace = ? and s.account = ? and s.ended_at is null and s.started_at >= ?
    and h.id = s.hold and h.bucket = s.bucket and h.state = coalesce(cast(? as text), h.state) and h.expires_at > ?
order by s.started_at desc, s.account, s.session limit ?

-- Those that were ended after an instant, the last one first.
-- name: ended_of_all
select s.account, s.session, s.model, s.estimated, s.started_at, s.ended_at, s.failed, h.terms
from stream_session s cross join hold h
where s.workspace = ? and s.ended_at > ? and h.id = s.hold and h.bucket = s.bucket
order by s.ended_at desc, s.started_at desc, s.account, s.session limit ?

-- name: ended_of_account
select s.account, s.session, s.model, s.estimated, s.started_at, s.ended_at, s.failed, h.terms
from stream_session s cross join hold h
where s.workspace = ? and s.account = ? and s.ended_at > ? and h.id = s.hold and h.bucket = s.bucket
order by s.ended_at desc, s.started_at desc, s.account, s.session limit ?
