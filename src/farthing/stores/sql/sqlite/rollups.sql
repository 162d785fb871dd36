-- Folding: what only SQLite says this way.

-- The next entries, without their bodies where they don't count.
-- name: unfolded
select 0, position, id, workspace, account, kind, at, operation,
    case when kind in ('charge', 'settle', 'expire', 'refund') then body end
from entry
where position > ? order by position limit ?

-- What the charges are about that refunds name.
-- name: charges
select e.id, e.workspace, e.account, e.kind, e.at, e.operation, e.body
from json_each(?) u cross join entry e on e.id = u.value ->> 0 and e.bucket = u.value ->> 1

-- name: add_to_rollups
insert into rollup (
    workspace, account, span, at, service, operation, provider, model, bucket, requests, unpriced, uncosted, bookings,
    input_tokens_high, input_tokens_low, output_tokens_high, output_tokens_low, tokens_high, tokens_low, charged_high,
    charged_low, cost_high, cost_low, revenue_high, revenue_low, refunded_high, refunded_low, booked_cost_high,
    booked_cost_low, recorded_high, recorded_low
)
values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
on conflict (workspace, account, span, at, service, operation, provider, model, bucket) do update set
    requests = rollup.requests + excluded.requests, unpriced = rollup.unpriced + excluded.unpriced,
    uncosted = rollup.uncosted + excluded.uncosted, bookings = rollup.bookings + excluded.bookings,
    input_tokens_high = rollup.input_tokens_high + excluded.input_tokens_high,
    input_tokens_low = rollup.input_tokens_low + excluded.input_tokens_low,
    output_tokens_high = rollup.output_tokens_high + excluded.output_tokens_high,
    output_tokens_low = rollup.output_tokens_low + excluded.output_tokens_low,
    tokens_high = rollup.tokens_high + excluded.tokens_high, tokens_low = rollup.tokens_low + excluded.tokens_low,
    charged_high = rollup.charged_high + excluded.charged_high, charged_low = rollup.charged_low + excluded.charged_low,
    cost_high = rollup.cost_high + excluded.cost_high, cost_low = rollup.cost_low + excluded.cost_low,
    revenue_high = rollup.revenue_high + excluded.revenue_high, revenue_low = rollup.revenue_low + excluded.revenue_low,
    refunded_high = rollup.refunded_high + excluded.refunded_high,
    refunded_low = rollup.refunded_low + excluded.refunded_low,
    booked_cost_high = rollup.booked_cost_high + excluded.booked_cost_high,
    booked_cost_low = rollup.booked_cost_low + excluded.booked_cost_low,
    recorded_high = rollup.recorded_high + excluded.recorded_high,
    recorded_low = rollup.recorded_low + excluded.recorded_low
