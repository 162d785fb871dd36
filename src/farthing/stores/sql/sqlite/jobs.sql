-- Jobs: what only SQLite says this way.

-- name: standing
select kind, workspace, subject, due_at, attempts, locked_until, last_error, parked_at, ran_at, outcome
from job where kind in (select value from json_each(?)) and workspace = '' and subject = '' order by kind

-- Who works takes some that are due, the longest overdue first, for a while: nobody else is given them meanwhile.

-- name: take
update job set locked_until = ?, ran_at = ?
where (kind, workspace, subject, bucket) in (
    select kind, workspace, subject, bucket from job
    where kind = ? and parked_at is null and due_at <= ? and locked_until <= ? order by due_at limit ?
)
returning kind, workspace, subject, due_at, attempts, locked_until, last_error, parked_at, ran_at, outcome

-- name: held
select kind, workspace, subject, due_at, attempts, locked_until, last_error, parked_at, ran_at, outcome
from job where kind = ? and workspace = ? and subject = ? and bucket = ?
