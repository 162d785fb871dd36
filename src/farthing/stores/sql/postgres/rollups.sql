-- Folding: what only PostgreSQL says this way.

-- The next entries of each lane, whole batches of them; without their bodies where they don't count.
-- name: unfolded
select e.*
from unnest(cast(? as bigint[]), cast(? as bigint[])) l (lane, batch)
    cross join lateral (
        select lane, batch, id, workspace, account, kind, at, operation,
            case when kind in ('charge', 'settle', 'expire', 'refund') then body end
        from entry
        where lane = l.lane and lane > 0 and batch > l.batch
        order by batch fetch first ? rows with ties
    ) e

-- Of lane 0, where a batch is a transaction: of those that nobody can add to any more.
-- name: unfolded_without_lane
select lane, batch, id, workspace, account, kind, at, operation,
    case when kind in ('charge', 'settle', 'expire', 'refund') then body end
from entry
where lane = 0 and (batch, id) > (?, ?) and batch < txid_snapshot_xmin(txid_current_snapshot())
order by batch, id limit ?

-- What the charges are about that refunds name.
-- name: charges
select e.id, e.workspace, e.account, e.kind, e.at, e.operation, e.body
from unnest(cast(? as text[]), cast(? as smallint[])) u (id, bucket)
    cross join lateral (select * from entry e where e.id = u.id and e.bucket = u.bucket limit 1) e

-- name: add_to_rollups
insert into rollup (
    workspace, account, span, at, service, operation, provider, model, bucket, requests, unpriced, uncosted, bookings,
    input_tokens_high, input_tokens_low, output_tokens_high, output_tokens_low, tokens_high, tokens_low, charged_high,
    charged_low, cost_high, cost_low, revenue_high, revenue_low, refunded_high, refunded_low, booked_cost_high,
    booked_cost_low, recorded_high, recorded_low
)
select * from unnest(cast(? as rollup_sums[]))
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

-- A lane that is done with: nothing came of it for long, and nothing of it waits.
-- name: strike_lanes
delete from lane l
where l.id > 0 and l.moved_at < ? and not exists (
    select 1 from entry e where e.lane = l.id and e.lane > 0 and e.batch > l.batch
)
