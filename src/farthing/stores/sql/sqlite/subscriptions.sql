-- Who renews takes some that are due, for a while: nobody else is given them meanwhile.

-- name: claim
update subscription set claimed_until = ?
where (workspace, account, bucket) in (
    select workspace, account, bucket from subscription
    where workspace = ? and ended_at is null and next_at <= ? and (next_at, account) > (?, ?)
        and (? = '' or plan = ?) and billed_by = 'none' and (ends_at is null or ends_at > ?)
        and claimed_until <= ? and retry_at <= ?
    order by next_at, account limit ?
)
returning account, bucket, next_at, terms
