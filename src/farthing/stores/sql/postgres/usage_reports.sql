-- Reports: what only PostgreSQL says this way.

-- Sums of ranges of slots: each range has a number, its span, its start and its end; and 1 where only what has a service
-- or a model is asked for.
-- name: sums
select cast(r ->> 0 as bigint), t.*
from json_array_elements(cast(? as json)) r
    cross join lateral (
        select service, operation, provider, model,
            sum(requests), sum(unpriced), sum(uncosted), sum(bookings), sum(input_tokens_high), sum(input_tokens_low),
            sum(output_tokens_high), sum(output_tokens_low), sum(tokens_high), sum(tokens_low), sum(charged_high),
            sum(charged_low), sum(cost_high), sum(cost_low), sum(revenue_high), sum(revenue_low), sum(refunded_high),
            sum(refunded_low), sum(booked_cost_high), sum(booked_cost_low), sum(recorded_high), sum(recorded_low)
        from rollup
        where workspace = ? and account = ? and span = cast(r ->> 1 as bigint)
            and at >= cast(r ->> 2 as bigint) and at < cast(r ->> 3 as bigint)
        group by service, operation, provider, model
    ) t

-- The same by account, those with the most revenue first; where names are asked for, by what was taken or recorded.
-- name: sums_by_account
select cast(r ->> 0 as bigint), s.*
from json_array_elements(cast(? as json)) r
    cross join lateral (
        select account,
            sum(requests), sum(unpriced), sum(uncosted), sum(bookings), sum(input_tokens_high), sum(input_tokens_low),
            sum(output_tokens_high), sum(output_tokens_low), sum(tokens_high), sum(tokens_low), sum(charged_high),
            sum(charged_low), sum(cost_high), sum(cost_low), sum(revenue_high), sum(revenue_low), sum(refunded_high),
            sum(refunded_low), sum(booked_cost_high), sum(booked_cost_low), sum(recorded_high), sum(recorded_low)
        from rollup t
        where workspace = ? and account <> '' and span = cast(r ->> 1 as bigint)
            and at >= cast(r ->> 2 as bigint) and at < cast(r ->> 3 as bigint)
            and t.service = coalesce(cast(? as text), t.service)
            and t.operation = coalesce(cast(? as text), t.operation)
            and t.provider = coalesce(cast(? as text), t.provider)
            and t.model = coalesce(cast(? as text), t.model)
            and (cast(r ->> 4 as integer) = 0 or t.service <> '' or t.model <> '')
        group by account
        order by
            case cast(r ->> 4 as integer)
                when 1 then sum(charged_high + recorded_high) * 1000000000 + sum(charged_low + recorded_low)
                else sum(revenue_high) * 1000000000 + sum(revenue_low)
            end desc, account
        limit ?
    ) s

-- name: sums_of_accounts
select cast(r ->> 0 as bigint), s.*
from json_array_elements(cast(? as json)) r
    cross join json_array_elements_text(cast(? as json)) a
    cross join lateral (
        select account,
            sum(requests), sum(unpriced), sum(uncosted), sum(bookings), sum(input_tokens_high), sum(input_tokens_low),
            sum(output_tokens_high), sum(output_tokens_low), sum(tokens_high), sum(tokens_low), sum(charged_high),
            sum(charged_low), sum(cost_high), sum(cost_low), sum(revenue_high), sum(revenue_low), sum(refunded_high),
            sum(refunded_low), sum(booked_cost_high), sum(booked_cost_low), sum(recorded_high), sum(recorded_low)
        from rollup t
        where workspace = ? and account = a and span = cast(r ->> 1 as bigint)
            and at >= cast(r ->> 2 as bigint) and at < cast(r ->> 3 as bigint)
            and t.service = coalesce(cast(? as text), t.service)
            and t.operation = coalesce(cast(? as text), t.operation)
            and t.provider = coalesce(cast(? as text), t.provider)
            and t.model = coalesce(cast(? as text), t.model)
            and (cast(r ->> 4 as integer) = 0 or t.service <> '' or t.model <> '')
        group by account
    ) s

-- Entries that are not in the sums yet. The upper bound bounds nothing: it has the planner expect few of them, and take
-- the index; and so does `offset 0`, without which the lanes might be joined with all entries.
-- name: tail
select e.*
from lane l
    cross join lateral (
        select id, workspace, account, kind, at, operation, body from entry
        where lane = l.id and lane > 0 and batch > l.batch and batch <= l.batch + 4611686018427387904
            and workspace = ? and account = coalesce(cast(? as text), account)
            and kind in ('charge', 'settle', 'expire', 'refund')
        offset 0
    ) e
where l.id > 0
union all
select e.*
from lane l
    cross join lateral (
        select id, workspace, account, kind, at, operation, body from entry
        where lane = 0 and (batch, id) > (l.batch, l.entry) and batch <= l.batch + 4611686018427387904
            and workspace = ? and account = coalesce(cast(? as text), account)
            and kind in ('charge', 'settle', 'expire', 'refund')
        offset 0
    ) e
where l.id = 0
