-- Who has which plan; what is due and what ends. An empty text for a plan means any.

-- name: subscription
select terms from subscription where workspace = ? and account = ? and bucket = ?

-- name: subscriptions
select account, terms from subscription
where workspace = ? and account > ? and (cast(? as text) = '' or plan = ?) and (cast(? as bigint) = 1 or ended_at is null)
order by account limit ?

-- The oldest first, after (next_at, account) of the last that was read.

-- name: due
select account, bucket, next_at, terms from subscription
where workspace = ? and ended_at is null and next_at <= ? and (next_at, account) > (?, ?)
    and (cast(? as text) = '' or plan = ?) and billed_by = 'none' and (ends_at is null or ends_at > ?)
order by next_at, account limit ?

-- name: count_due
select count(*) from subscription
where workspace = ? and ended_at is null and next_at <= ? and (cast(? as text) = '' or plan = ?) and billed_by = 'none'
    and (ends_at is null or ends_at > ?)

-- When the first may be taken of those that are left: somebody else is at it, or was.

-- name: next_unclaimed
select min(claimed_until) from subscription
where workspace = ? and ended_at is null and next_at <= ? and (cast(? as text) = '' or plan = ?) and billed_by = 'none'
    and (ends_at is null or ends_at > ?) and retry_at <= ?

-- name: release
update subscription set claimed_until = 0 where workspace = ? and account = ? and bucket = ?

-- One that failed is tried again then, if it is still what was tried.

-- name: put_off
update subscription set claimed_until = 0, retry_at = ?
where workspace = ? and account = ? and bucket = ? and next_at = ? and ended_at is null
returning 1

-- name: ending
select account, terms from subscription
where workspace = ? and ended_at is null and ends_at <= ? and (ends_at, account) > (?, ?)
order by ends_at, account limit ?
