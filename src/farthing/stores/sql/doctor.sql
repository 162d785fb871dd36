-- What doctor reads and a rebuild writes. Whole tables are read in the order of their keys, a page at a time.

-- name: workspaces
select id from workspace

-- name: count_accounts
select count(*) from account

-- name: accounts
select workspace, id, bucket, number, balance, held, debt, earned, spent, lapsed, written_off, at, head, holds, lapse_at,
    hold_due_at, grants, settings, spending
from account where (workspace, id, bucket) > (?, ?, ?) order by workspace, id, bucket limit ?

-- name: account
select workspace, id, bucket, number, balance, held, debt, earned, spent, lapsed, written_off, at, head, holds, lapse_at,
    hold_due_at, grants, settings, spending
from account where workspace = ? and id = ? and bucket = ?

-- name: entries
select e.workspace, e.account, e.bucket, e.number, e.id, e.kind, e.amount, e.balance, e.held, e.debt, e.at, e.key,
    e.fingerprint, e.actor, e.request_id, e.operation, e.description, e.metadata, e.body, e.version, e.hash,
    k.number, c.id is not null, x.entry is not null, x.description, x.metadata
from entry e
    left join key k on k.workspace = e.workspace and k.key = e.key and k.account = e.account and k.bucket = e.bucket
    left join charge c on c.id = e.id and c.bucket = e.bucket
    left join erased x on x.entry = e.id and x.bucket = e.bucket
where e.workspace = ? and e.account = ? and e.number > ? order by e.number limit ?

-- name: entry
select workspace, account, bucket, number, id, kind, amount, balance, held, debt, at, key, fingerprint, actor, request_id,
    operation, description, metadata, body, version, hash
from entry where id = ? and bucket = ?

-- name: checkpoint
select state, used_until, archive, made_at from checkpoint where workspace = ? and account = ? and bucket = ?

-- name: holds_of
select workspace, account, bucket, state, expires_at, remaining, terms, id from hold where workspace = ? and account = ?

-- name: grants
select bucket, amount, created_at, expires_at, terms, voided, gone, id from grants where workspace = ? and account = ?

-- name: grant
select bucket, amount, created_at, expires_at, terms, voided, gone, id from grants where id = ? and bucket = ?

-- name: hold
select workspace, account, bucket, state, expires_at, remaining, terms from hold where id = ? and bucket = ?

-- name: charge
select workspace, account, bucket, debt, terms from charge where id = ? and bucket = ?

-- name: charges_of
select c.id from entry e join charge c on c.id = e.id and c.bucket = e.bucket where e.workspace = ? and e.account = ?

-- name: due
select due_at from job where kind = 'account' and workspace = ? and subject = ? and bucket = ?

-- name: keys
select k.workspace, k.key, k.account, k.bucket, k.number, coalesce(t.key, e.key)
from key k
    left join entry e on e.workspace = k.workspace and e.account = k.account and e.number = k.number
        and e.bucket = k.bucket
    left join kept_key t on t.workspace = k.workspace and t.key = k.key and t.account = k.account
        and t.bucket = k.bucket and t.number = k.number
where (k.workspace, k.key, k.account, k.bucket) > (?, ?, ?, ?)
order by k.workspace, k.key, k.account, k.bucket limit ?

-- name: holds
select h.id, h.bucket, h.workspace, h.account, e.kind, p.at
from hold h
    left join entry e on e.id = 'ent' || substr(h.id, 5) and e.bucket = h.bucket and e.workspace = h.workspace
        and e.account = h.account
    left join checkpoint p on p.workspace = h.workspace and p.account = h.account and p.bucket = h.bucket
where (h.id, h.bucket) > (?, ?) order by h.id, h.bucket limit ?

-- name: sessions
select s.workspace, s.account, s.session, s.bucket, s.hold, s.ended_at is not null, h.state, h.workspace, h.account
from stream_session s left join hold h on h.id = s.hold and h.bucket = s.bucket
where (s.workspace, s.account, s.session, s.bucket) > (?, ?, ?, ?)
order by s.workspace, s.account, s.session, s.bucket limit ?

-- name: charges
select c.id, c.bucket, c.workspace, c.account, e.kind
from charge c
    left join entry e on e.id = c.id and e.bucket = c.bucket and e.workspace = c.workspace and e.account = c.account
where (c.id, c.bucket) > (?, ?) order by c.id, c.bucket limit ?

-- name: payments
select p.workspace, p.provider, p.object, p.account, p.entry,
    case when p.answer is null then e.workspace else p.workspace end,
    case when p.answer is null then e.account else p.account end
from payment p left join entry e on e.id = p.entry
where (p.workspace, p.provider, p.object) > (?, ?, ?) order by p.workspace, p.provider, p.object limit ?

-- name: subscription
select id, plan, billed_by, next_at, ends_at, ended_at, terms from subscription
where workspace = ? and account = ? and bucket = ?

-- name: put_account
insert into account (
    workspace, id, bucket, number, balance, held, debt, earned, spent, lapsed, written_off, at, head, holds, lapse_at,
    hold_due_at, grants, settings, spending
)
values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
on conflict (workspace, id, bucket) do update
set number = excluded.number, balance = excluded.balance, held = excluded.held, debt = excluded.debt,
    earned = excluded.earned, spent = excluded.spent, lapsed = excluded.lapsed, written_off = excluded.written_off,
    at = excluded.at, head = excluded.head, holds = excluded.holds, lapse_at = excluded.lapse_at,
    hold_due_at = excluded.hold_due_at, grants = excluded.grants, settings = excluded.settings,
    spending = excluded.spending

-- name: put_due
insert into job (kind, workspace, subject, bucket, due_at) values ('account', ?, ?, ?, ?)
on conflict (kind, workspace, subject, bucket) do update
set due_at = excluded.due_at, attempts = 0, locked_until = 0, last_error = null, parked_at = null

-- name: drop_due
delete from job where kind = 'account' and workspace = ? and subject = ? and bucket = ?

-- name: put_grant
insert into grants (id, workspace, account, bucket, amount, created_at, expires_at, voided, terms, gone)
values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
on conflict (id, bucket) do update
set amount = excluded.amount, created_at = excluded.created_at, expires_at = excluded.expires_at,
    voided = excluded.voided, gone = excluded.gone, terms = excluded.terms, workspace = excluded.workspace,
    account = excluded.account

-- name: put_hold
insert into hold (id, workspace, account, bucket, state, expires_at, remaining, terms) values (?, ?, ?, ?, ?, ?, ?, ?)
on conflict (id, bucket) do update
set state = excluded.state, expires_at = excluded.expires_at, remaining = excluded.remaining,
    terms = excluded.terms, workspace = excluded.workspace, account = excluded.account

-- name: put_charge
insert into charge (id, workspace, account, bucket, debt, terms) values (?, ?, ?, ?, ?, ?)
on conflict (id, bucket) do update
set debt = excluded.debt, terms = excluded.terms, workspace = excluded.workspace, account = excluded.account

-- name: put_subscription
insert into subscription (workspace, account, bucket, id, plan, billed_by, next_at, ends_at, ended_at, terms)
values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
on conflict (workspace, account, bucket) do update
set id = excluded.id, plan = excluded.plan, billed_by = excluded.billed_by, next_at = excluded.next_at,
    ends_at = excluded.ends_at, ended_at = excluded.ended_at, terms = excluded.terms

-- name: drop_subscription
delete from subscription where id = ? and bucket = ?

-- name: drop_grants
delete from grants where id = ? and bucket = ?

-- name: drop_charge
delete from charge where id = ? and bucket = ?

-- name: put_key
insert into key (workspace, key, account, bucket, number) values (?, ?, ?, ?, ?)

-- name: put_audit
insert into audit (workspace, at, actor, request_id, action, subject, entry, detail)
values (?, ?, ?, ?, ?, ?, ?, ?)

-- Sums that reports are read from, held against entries.

-- Up to when what accounts had used is archived.
-- name: archived_until
select workspace, account, used_until from checkpoint
where (workspace, account) > (?, ?) and (workspace, account) <= (?, ?)

-- name: lanes
select id, batch, entry from lane

-- name: rollups_of_accounts
select workspace, account, at, service, operation, provider, model,
    requests, unpriced, uncosted, bookings, input_tokens_high, input_tokens_low, output_tokens_high, output_tokens_low,
    tokens_high, tokens_low, charged_high, charged_low, cost_high, cost_low, revenue_high, revenue_low, refunded_high,
    refunded_low, booked_cost_high, booked_cost_low, recorded_high, recorded_low
from rollup
where span = ? and account <> '' and (workspace, account) > (?, ?) and (workspace, account) <= (?, ?)

-- name: next_slot
select (select min(at) from rollup where workspace = ? and span = ? and at >= ?),
    (select min(at) from rollup where workspace = ? and span = ? and at >= ?)

-- The slots of a day: of all accounts added up, and of all accounts as they are stored.
-- name: slots_of_day
select case when account = '' then 1 else 0 end, span, at, service, operation, provider, model,
    sum(requests), sum(unpriced), sum(uncosted), sum(bookings), sum(input_tokens_high), sum(input_tokens_low),
    sum(output_tokens_high), sum(output_tokens_low), sum(tokens_high), sum(tokens_low), sum(charged_high),
    sum(charged_low), sum(cost_high), sum(cost_low), sum(revenue_high), sum(revenue_low), sum(refunded_high),
    sum(refunded_low), sum(booked_cost_high), sum(booked_cost_low), sum(recorded_high), sum(recorded_low)
from rollup
where workspace = ? and span in (?, ?) and at >= ? and at < ?
group by 1, 2, 3, 4, 5, 6, 7

-- name: usage
select u.id, u.bucket, u.workspace, u.account, e.kind
from usage u
    left join entry e on e.id = u.id and e.bucket = u.bucket and e.workspace = u.workspace and e.account = u.account
where (u.id, u.bucket) > (?, ?) order by u.id, u.bucket limit ?

-- Of what goes on at this moment nobody else sees the row.
-- name: still_retiring
select 1 from retiring limit 1
