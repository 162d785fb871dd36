-- Jobs: what only PostgreSQL says this way.

-- name: standing
select kind, workspace, subject, due_at, attempts, locked_until, last_error, parked_at, ran_at, outcome
from job where kind = any(cast(? as text[])) and workspace = '' and subject = '' order by kind

-- Who works takes some that are due, the longest overdue first, for a while: nobody else is given them meanwhile. Rows
-- that somebody is taking or changing this moment are left to him.

-- name: take
update job j set locked_until = ?, ran_at = ?
from (
    select kind, workspace, subject, bucket from job
    where kind = ? and parked_at is null and due_at <= ? and locked_until <= ? order by due_at limit ?
    for update skip locked
) d
where j.kind = d.kind and j.workspace = d.workspace and j.subject = d.subject and j.bucket = d.bucket
returning j.kind, j.workspace, j.subject, j.due_at, j.attempts, j.locked_until, j.last_error, j.parked_at, j.ran_at,
    j.outcome

-- An item that a command is changing this moment is nobody else's: to wait for it, with others in hand, could be for ever.

-- name: held
select kind, workspace, subject, due_at, attempts, locked_until, last_error, parked_at, ran_at, outcome
from job where kind = ? and workspace = ? and subject = ? and bucket = ? for update skip locked
