-- Reports: what only SQLite says this way.

-- Sums of ranges of slots: each range has a number, its span, its start and its end; and 1 where only what has a service
-- or a model is asked for.
-- name: sums
select r.value ->> 0, service, operation, provider, model,
    sum(requests), sum(unpriced), sum(uncosted), sum(bookings), sum(input_tokens_high), sum(input_tokens_low),
    sum(output_tokens_high), sum(output_tokens_low), sum(tokens_high), sum(tokens_low), sum(charged_high),
    sum(charged_low), sum(cost_high), sum(cost_low), sum(revenue_high), sum(revenue_low), sum(refunded_high),
    sum(refunded_low), sum(booked_cost_high), sum(booked_cost_low), sum(recorded_high), sum(recorded_low)
from json_each(?) r cross join rollup t
where t.workspace = ? and t.account = ? and t.span = r.value ->> 1 and t.at >= r.value ->> 2 and t.at < r.value ->> 3
group by r.value ->> 0, service, operation, provider, model

-- The same by account, those with the most revenue first (of each range: a window over them); where names are asked for,
-- by what was taken or recorded.
-- name: sums_by_account
select n, account,
    requests, unpriced, uncosted, bookings, input_tokens_high, input_tokens_low, output_tokens_high, output_tokens_low,
    tokens_high, tokens_low, charged_high, charged_low, cost_high, cost_low, revenue_high, revenue_low, refunded_high,
    refunded_low, booked_cost_high, booked_cost_low, recorded_high, recorded_low
from (
    select r.value ->> 0 as n, account,
        sum(requests) as requests, sum(unpriced) as unpriced, sum(uncosted) as uncosted, sum(bookings) as bookings,
        sum(input_tokens_high) as input_tokens_high, sum(input_tokens_low) as input_tokens_low,
        sum(output_tokens_high) as output_tokens_high, sum(output_tokens_low) as output_tokens_low,
        sum(tokens_high) as tokens_high, sum(tokens_low) as tokens_low, sum(charged_high) as charged_high,
        sum(charged_low) as charged_low, sum(cost_high) as cost_high, sum(cost_low) as cost_low,
        sum(revenue_high) as revenue_high, sum(revenue_low) as revenue_low, sum(refunded_high) as refunded_high,
        sum(refunded_low) as refunded_low, sum(booked_cost_high) as booked_cost_high,
        sum(booked_cost_low) as booked_cost_low, sum(recorded_high) as recorded_high,
        sum(recorded_low) as recorded_low,
        row_number() over (
            partition by r.value ->> 0
            order by
                case max(r.value ->> 4)
                    when 1 then sum(charged_high + recorded_high) + sum(charged_low + recorded_low) / 1000000000
                    else sum(revenue_high) + sum(revenue_low) / 1000000000
                end desc,
                case max(r.value ->> 4)
                    when 1 then sum(charged_low + recorded_low) % 1000000000
                    else sum(revenue_low) % 1000000000
                end desc, account
        ) as place
    from json_each(?) r cross join rollup t
    where t.workspace = ? and t.account <> '' and t.span = r.value ->> 1 and t.at >= r.value ->> 2
        and t.at < r.value ->> 3
        and t.service = coalesce(cast(? as text), t.service)
        and t.operation = coalesce(cast(? as text), t.operation)
        and t.provider = coalesce(cast(? as text), t.provider)
        and t.model = coalesce(cast(? as text), t.model)
        and (r.value ->> 4 = 0 or t.service <> '' or t.model <> '')
    group by r.value ->> 0, account
)
where place <= ?

-- name: sums_of_accounts
select r.value ->> 0, account,
    sum(requests), sum(unpriced), sum(uncosted), sum(bookings), sum(input_tokens_high), sum(input_tokens_low),
    sum(output_tokens_high), sum(output_tokens_low), sum(tokens_high), sum(tokens_low), sum(charged_high),
    sum(charged_low), sum(cost_high), sum(cost_low), sum(revenue_high), sum(revenue_low), sum(refunded_high),
    sum(refunded_low), sum(booked_cost_high), sum(booked_cost_low), sum(recorded_high), sum(recorded_low)
from json_each(?) r cross join json_each(?) a cross join rollup t
where t.workspace = ? and t.account = a.value and t.span = r.value ->> 1 and t.at >= r.value ->> 2
    and t.at < r.value ->> 3
    and t.service = coalesce(cast(? as text), t.service)
    and t.operation = coalesce(cast(? as text), t.operation)
    and t.provider = coalesce(cast(? as text), t.provider)
    and t.model = coalesce(cast(? as text), t.model)
    and (r.value ->> 4 = 0 or t.service <> '' or t.model <> '')
group by r.value ->> 0, account

-- Entries that are not in the sums yet. The plus keeps the planner from looking for the workspace first.
-- name: tail
select id, workspace, account, kind, at, operation, body
from entry
where position > (select batch from lane where id = 0) and +workspace = ?
    and account = coalesce(cast(? as text), account) and kind in ('charge', 'settle', 'expire', 'refund')
