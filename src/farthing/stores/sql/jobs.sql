-- Jobs: rows by which time becomes work. Those that stand have neither workspace nor subject.

-- name: stand
insert into job (kind, workspace, subject, bucket, due_at) values (?, '', '', ?, ?)
on conflict (kind, workspace, subject, bucket) do nothing

-- name: job
select kind, workspace, subject, due_at, attempts, locked_until, last_error, parked_at, ran_at, outcome
from job where kind = ? and workspace = ? and subject = ? and bucket = ?

-- name: put
insert into job (
    due_at, attempts, locked_until, last_error, parked_at, ran_at, outcome, kind, workspace, subject, bucket
)
values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
on conflict (kind, workspace, subject, bucket) do update
set due_at = excluded.due_at, attempts = excluded.attempts, locked_until = excluded.locked_until,
    last_error = excluded.last_error, parked_at = excluded.parked_at, ran_at = excluded.ran_at, outcome = excluded.outcome

-- A subscription whose renewal failed may be tried again.
-- name: free_renewal
update subscription set claimed_until = 0, retry_at = 0 where workspace = ? and account = ? and bucket = ?

-- What is listed. A listing of items is that of one kind after another.

-- name: items
select kind, workspace, subject, due_at, attempts, locked_until, last_error, parked_at, ran_at, outcome
from job where kind = ? and workspace = ? and subject > ? order by subject limit ?

-- name: failed_items
select kind, workspace, subject, due_at, attempts, locked_until, last_error, parked_at, ran_at, outcome
from job where kind = ? and workspace = ? and subject > ? and attempts > 0 order by subject limit ?

-- name: all_failed
select kind, workspace, subject, due_at, attempts, locked_until, last_error, parked_at, ran_at, outcome
from job where attempts > 0 and workspace <> '' order by kind, workspace, subject limit ?

-- name: parked
select count(*) from job where attempts > 0 and parked_at is not null

-- name: oldest
select due_at from job where parked_at is null order by due_at limit 1
