-- Who renews takes some that are due, for a while: nobody else is given them meanwhile. Rows that somebody is taking
-- this moment are left to him.

-- name: claim
update subscription s set claimed_until = ?
from (
    select workspace, account, bucket from subscription
    where workspace = ? and ended_at is null and next_at <= ? and (next_at, account) > (?, ?)
        and (cast(? as text) = '' or plan = ?) and billed_by = 'none' and (ends_at is null or ends_at > ?)
        and claimed_until <= ? and retry_at <= ?
    order by next_at, account limit ?
    for update skip locked
) d
where s.workspace = d.workspace and s.account = d.account and s.bucket = d.bucket
returning s.account, s.bucket, s.next_at, s.terms
