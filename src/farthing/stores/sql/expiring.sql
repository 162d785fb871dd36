-- Accounts with credits that lapse soon, the soonest first. What time does first to an account may be another thing.

-- name: accounts
select j.due_at, j.subject, a.workspace, a.id, a.bucket, a.number, a.balance, a.held, a.debt, a.earned, a.spent, a.lapsed,
    a.written_off, a.at, a.head, a.holds, a.lapse_at, a.hold_due_at, a.grants, a.settings, a.spending
from job j join account a on a.workspace = j.workspace and a.id = j.subject and a.bucket = j.bucket
where j.kind = 'account' and j.parked_at is null and j.workspace = ? and j.due_at <= ? and (j.due_at, j.subject) > (?, ?)
    and a.lapse_at <= ?
order by j.due_at, j.subject limit ?
