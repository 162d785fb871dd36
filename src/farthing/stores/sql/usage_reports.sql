-- Reports: what was used and what was booked, put together of sums, of entries that are not in them yet, and of edges.

-- When the sums of an account begin, and when the last slot does.
-- name: extent
select (select min(at) from rollup where workspace = ? and account = ? and span = ?),
    (select max(at) from rollup where workspace = ? and account = ? and span = ?)

-- Requests and tokens out of a model in the days of all accounts since one, as far as they are folded.
-- name: answers
select sum(requests), sum(output_tokens_high), sum(output_tokens_low)
from rollup
where workspace = ? and account = '' and span = ? and at >= ? and model = ?
    and provider = coalesce(cast(? as text), provider)

-- Usage between two instants by the time of its use, as sums; by account, where that is asked for.
-- name: used_between
select case when cast(? as integer) = 1 then account else '' end, service, operation, provider, model,
    count(*), sum(unpriced), count(*) - count(cost), 0, sum(input_tokens / 1000000000), sum(input_tokens % 1000000000),
    sum(output_tokens / 1000000000), sum(output_tokens % 1000000000), sum(tokens / 1000000000),
    sum(tokens % 1000000000), sum(amount / 1000000000), sum(amount % 1000000000), coalesce(sum(cost / 1000000000), 0),
    coalesce(sum(cost % 1000000000), 0), 0, 0, 0, 0, 0, 0, 0, 0
from usage
where workspace = ? and at >= ? and at < ? and account = coalesce(cast(? as text), account)
group by 1, 2, 3, 4, 5

-- name: booked_between
select id, workspace, account, kind, at, operation, body
from entry
where workspace = ? and at >= ? and at < ? and account = coalesce(cast(? as text), account)
    and kind in ('charge', 'settle', 'expire', 'refund')

-- name: archived_until
select max(used_until) from checkpoint where workspace = ? and account = coalesce(cast(? as text), account)

-- name: size
select count(*)
from usage u
where u.workspace = ? and u.at >= ? and u.at < ? and u.account = coalesce(cast(? as text), u.account)
    and u.service = coalesce(cast(? as text), u.service) and u.operation = coalesce(cast(? as text), u.operation)
    and u.provider = coalesce(cast(? as text), u.provider) and u.model = coalesce(cast(? as text), u.model)
