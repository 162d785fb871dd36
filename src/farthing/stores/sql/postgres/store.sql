-- What the engine's store says to PostgreSQL: whole batches. What each charge needs goes as a list of rows, the rest as
-- a list for each column.
-- A look-up goes through `lateral (... limit 1)`: joined in any other way, a table that was never analyzed may be read
-- by its workspace alone.

-- name: clock
select cast(extract(epoch from clock_timestamp()) * 1000000 as bigint)

-- name: hold_owners
select u.id, u.workspace, h.account
from unnest(cast(? as text[]), cast(? as smallint[]), cast(? as text[])) u (id, bucket, workspace)
    cross join lateral (
        select account from hold h where h.id = u.id and h.bucket = u.bucket and h.workspace = u.workspace limit 1
    ) h

-- name: lock_accounts
select a.*, w.name, w.mode, w.unit, w.scale, w.created_at, w.settings, w.told
from unnest(cast(? as account_name[])) u
    cross join lateral (
        select workspace, id, bucket, number, balance, held, debt, earned, spent, lapsed, written_off, at, head, holds,
            lapse_at, hold_due_at, grants, settings, spending
        from account a where a.workspace = u.workspace and a.id = u.id and a.bucket = u.bucket
        for no key update
    ) a
    join workspace w on w.id = a.workspace

-- name: read_accounts
select a.*, w.name, w.mode, w.unit, w.scale, w.created_at, w.settings, w.told,
    (
        select count(*) from unnest(cast(? as key_name[])) u cross join lateral (
            select 1 from key k
            where k.workspace = u.workspace and k.key = u.key and k.account = u.account and k.bucket = u.bucket limit 1
        ) k
    )
from unnest(cast(? as account_name[])) u
    cross join lateral (
        select workspace, id, bucket, number, balance, held, debt, earned, spent, lapsed, written_off, at, head, holds,
            lapse_at, hold_due_at, grants, settings, spending
        from account a where a.workspace = u.workspace and a.id = u.id and a.bucket = u.bucket limit 1
    ) a
    join workspace w on w.id = a.workspace

-- name: workspaces
select id, name, mode, unit, scale, created_at, settings, told from workspace where id = any(cast(? as text[]))

-- Those that are used, each with its entry, where that is here.
-- name: keys
select u.workspace, u.key, u.account, u.bucket, e.workspace, e.account, e.bucket, e.number, e.id, e.kind, e.amount, e.balance, e.held, e.debt, e.at, e.key,
    e.fingerprint, e.actor, e.request_id, e.operation, e.description, e.metadata, e.body, e.version, e.hash
from unnest(cast(? as key_name[])) u
    cross join lateral (
        select number from key k
        where k.workspace = u.workspace and k.key = u.key and k.account = u.account and k.bucket = u.bucket limit 1
    ) k
    left join lateral (
        select * from entry e
        where e.workspace = u.workspace and e.account = u.account and e.number = k.number and e.bucket = u.bucket
        limit 1
    ) e on true

-- name: kept_keys
select k.workspace, k.key, k.account, k.bucket, k.number, k.fingerprint, k.answer
from unnest(cast(? as key_name[])) u
    cross join lateral (
        select * from kept_key k
        where k.workspace = u.workspace and k.key = u.key and k.account = u.account and k.bucket = u.bucket limit 1
    ) k

-- name: claim_answer
select answer from payment where workspace = ? and provider = ? and object = ?

-- name: entries
select e.workspace, e.account, e.bucket, e.number, e.id, e.kind, e.amount, e.balance, e.held, e.debt, e.at, e.key,
    e.fingerprint, e.actor, e.request_id, e.operation, e.description, e.metadata, e.body, e.version, e.hash
from unnest(cast(? as text[]), cast(? as smallint[])) u (id, bucket)
    cross join lateral (select * from entry e where e.id = u.id and e.bucket = u.bucket limit 1) e

-- name: holds
select h.id, h.terms
from unnest(cast(? as text[]), cast(? as smallint[]), cast(? as text[])) u (id, bucket, workspace)
    cross join lateral (
        select * from hold h where h.id = u.id and h.bucket = u.bucket and h.workspace = u.workspace limit 1
    ) h

-- name: due_holds
select terms from hold where workspace = ? and account = ? and expires_at <= ? and state = 'live' order by expires_at

-- name: next_hold
select min(expires_at) from hold where workspace = ? and account = ? and expires_at > ? and state = 'live'

-- name: charges
select c.terms
from unnest(cast(? as text[]), cast(? as smallint[])) u (id, bucket)
    cross join lateral (select terms from charge c where c.id = u.id and c.bucket = u.bucket limit 1) c

-- name: owing
select terms from charge where workspace = ? and account = ? and debt > 0 order by id

-- name: refundable
select workspace, account, bucket, number, id, kind, amount, balance, held, debt, at, key, fingerprint, actor, request_id,
    operation, description, metadata, body, version, hash
from entry
where workspace = ? and account = ? and number < ? and amount < 0 and kind in ('charge', 'expire', 'settle')
order by number desc limit ?

-- name: checkpoints
select p.state, p.used_until, p.archive, p.made_at
from unnest(cast(? as text[]), cast(? as text[]), cast(? as smallint[])) u (workspace, account, bucket)
    cross join lateral (
        select * from checkpoint p
        where p.workspace = u.workspace and p.account = u.account and p.bucket = u.bucket limit 1
    ) p

-- name: grants
select g.workspace, g.account, g.id, g.terms, g.voided, g.gone
from unnest(cast(? as text[]), cast(? as smallint[]), cast(? as text[]), cast(? as text[]))
        u (id, bucket, workspace, account)
    cross join lateral (
        select * from grants g
        where g.id = u.id and g.bucket = u.bucket and g.workspace = u.workspace and g.account = u.account limit 1
    ) g

-- name: subscriptions
select s.workspace, s.account, s.terms
from unnest(cast(? as text[]), cast(? as text[]), cast(? as smallint[])) u (workspace, account, bucket)
    cross join lateral (
        select * from subscription s
        where s.workspace = u.workspace and s.account = u.account and s.bucket = u.bucket limit 1
    ) s

-- name: plans
select p.workspace, p.id, p.document, p.created_at, p.updated_at, p.archived_at
from unnest(cast(? as text[]), cast(? as text[])) u (workspace, id)
    join plan p on p.workspace = u.workspace and p.id = u.id

-- name: payments
select p.workspace, p.provider, p.object, p.account, p.entry, p.at
from unnest(cast(? as text[]), cast(? as text[]), cast(? as text[])) u (workspace, provider, object)
    cross join lateral (
        select * from payment p
        where p.workspace = u.workspace and p.provider = u.provider and p.object = u.object limit 1
    ) p

-- Writes each account, with its entries, keys, usage and what is told of it, on the condition that it has the number of entries that was
-- read; gives those that somebody else has written meanwhile.
-- Each is locked before any is written, in the order of the rows: an update by itself goes in the order in which a join
-- happens to find them, and two batches would wait for each other.

-- name: carry_out
with rows as (
    select * from unnest(cast(? as account_row[]))
), n as (
    select rows.* from rows left join lateral (
        select 1 from account a
        where a.workspace = rows.workspace and a.id = rows.id and a.bucket = rows.bucket
            and a.number = rows.number_before
        for no key update
    ) a on true
), changed as (
    update account a
    set number = n.number, balance = n.balance, held = n.held, debt = n.debt, earned = n.earned, spent = n.spent,
        lapsed = n.lapsed, written_off = n.written_off, at = n.at, head = n.head, holds = n.holds,
        lapse_at = n.lapse_at, hold_due_at = n.hold_due_at, grants = n.grants, settings = n.settings,
        spending = n.spending
    from n
    where a.workspace = n.workspace and a.id = n.id and a.bucket = n.bucket and a.number = n.number_before
    returning a.workspace, a.id
), e as (
    select e.* from unnest(cast(? as entry_row[])) e join changed c on c.workspace = e.workspace and c.id = e.account
), new_entries as (
    insert into entry (
        workspace, account, bucket, number, id, kind, amount, balance, held, debt, at, key, fingerprint, actor,
        request_id, operation, description, metadata, body, version, hash, lane, batch
    )
    select e.*, cast(? as bigint), cast(? as bigint) from e
), new_keys as (
    insert into key (workspace, key, account, bucket, number)
    select workspace, key, account, bucket, number from e where key is not null
), new_usage as (
    insert into usage (
        id, workspace, account, bucket, at, booked_at, service, operation, provider, model, chat, input_tokens,
        output_tokens, tokens, amount, cost, unpriced
    )
    select u.* from unnest(cast(? as usage_row[])) u join changed c on c.workspace = u.workspace and c.id = u.account
), new_events as (
    insert into event (workspace, id, bucket, type, account, at, data, once)
    select v.* from unnest(cast(? as event_row[])) v join changed c on c.workspace = v.workspace and c.id = v.account
), new_deliveries as (
    insert into outbox (workspace, endpoint, bucket, due_at, event, account, number, attempts)
    select o.* from unnest(cast(? as delivery_row[])) o
        join changed c on c.workspace = o.workspace and c.id = o.account
)
select n.workspace, n.id from n left join changed c on c.workspace = n.workspace and c.id = n.id where c.id is null

-- A lane is registered before its first batch, so that who folds knows of it.

-- A server that took over may have been told of the rows, and not of the sequence.

-- name: open_lane
insert into lane (id, batch, entry, moved_at)
values (
    greatest(
        nextval('lane_number'),
        (select max(id) + 1 from lane),
        (select max(lane) + 1 from entry where lane > 0)
    ),
    0, '', cast(extract(epoch from clock_timestamp()) * 1000000 as bigint)
)
returning id

-- name: open_accounts
insert into account (
    workspace, id, bucket, number, balance, held, debt, earned, spent, lapsed, written_off, at, head, holds, lapse_at,
    hold_due_at, grants, settings, spending
)
select workspace, id, bucket, number_before, balance, held, debt, earned, spent, lapsed, written_off, at, head, holds,
    lapse_at, hold_due_at, grants, settings, spending
from unnest(cast(? as account_row[]))

-- name: save_grants
insert into grants (id, workspace, account, bucket, amount, created_at, expires_at, voided, terms, gone)
select g.*, 0 from unnest(
    cast(? as text[]), cast(? as text[]), cast(? as text[]), cast(? as smallint[]), cast(? as bigint[]),
    cast(? as bigint[]), cast(? as bigint[]), cast(? as smallint[]), cast(? as text[])
) g
on conflict (id, bucket) do update set voided = excluded.voided, terms = excluded.terms

-- name: add_gone
update grants g set gone = g.gone + n.amount
from unnest(cast(? as bigint[]), cast(? as text[]), cast(? as smallint[])) n (amount, id, bucket)
where g.id = n.id and g.bucket = n.bucket

-- name: save_holds
insert into hold (id, workspace, account, bucket, state, expires_at, remaining, terms)
select * from unnest(
    cast(? as text[]), cast(? as text[]), cast(? as text[]), cast(? as smallint[]), cast(? as text[]),
    cast(? as bigint[]), cast(? as bigint[]), cast(? as text[])
)
on conflict (id, bucket) do update
set state = excluded.state, expires_at = excluded.expires_at, remaining = excluded.remaining, terms = excluded.terms

-- name: save_charges
insert into charge (id, workspace, account, bucket, debt, terms)
select * from unnest(
    cast(? as text[]), cast(? as text[]), cast(? as text[]), cast(? as smallint[]), cast(? as bigint[]),
    cast(? as text[])
)
on conflict (id, bucket) do update set debt = excluded.debt, terms = excluded.terms

-- name: save_payments
insert into payment (workspace, provider, object, account, entry, at)
select * from unnest(
    cast(? as text[]), cast(? as text[]), cast(? as text[]), cast(? as text[]), cast(? as text[]), cast(? as bigint[])
)

-- name: save_keys
insert into key (workspace, key, account, bucket, number)
select * from unnest(
    cast(? as text[]), cast(? as text[]), cast(? as text[]), cast(? as smallint[]), cast(? as bigint[])
)

-- name: save_kept_keys
insert into kept_key (workspace, key, account, bucket, number, fingerprint, answer)
select * from unnest(
    cast(? as text[]), cast(? as text[]), cast(? as text[]), cast(? as smallint[]), cast(? as bigint[]),
    cast(? as bytea[]), cast(? as text[])
)

-- name: save_audit
insert into audit (workspace, at, actor, request_id, action, subject, entry, detail)
select * from unnest(
    cast(? as text[]), cast(? as bigint[]), cast(? as text[]), cast(? as text[]), cast(? as text[]), cast(? as text[]),
    cast(? as text[]), cast(? as text[])
)

-- name: save_sessions
insert into stream_session (workspace, account, bucket, session, hold, model, estimated, started_at)
select * from unnest(
    cast(? as text[]), cast(? as text[]), cast(? as smallint[]), cast(? as text[]), cast(? as text[]),
    cast(? as text[]), cast(? as bigint[]), cast(? as bigint[])
)

-- name: end_sessions
update stream_session s set ended_at = n.ended_at, failed = n.failed
from unnest(
    cast(? as bigint[]), cast(? as smallint[]), cast(? as text[]), cast(? as text[]), cast(? as text[]),
    cast(? as smallint[])
) n (ended_at, failed, workspace, account, session, bucket)
where s.workspace = n.workspace and s.account = n.account and s.session = n.session and s.bucket = n.bucket

-- name: save_subscriptions
insert into subscription (workspace, account, bucket, id, plan, billed_by, next_at, ends_at, ended_at, terms)
select * from unnest(
    cast(? as text[]), cast(? as text[]), cast(? as smallint[]), cast(? as text[]), cast(? as text[]),
    cast(? as text[]), cast(? as bigint[]), cast(? as bigint[]), cast(? as bigint[]), cast(? as text[])
)
on conflict (workspace, account, bucket) do update
set id = excluded.id, plan = excluded.plan, billed_by = excluded.billed_by, next_at = excluded.next_at,
    ends_at = excluded.ends_at, ended_at = excluded.ended_at, terms = excluded.terms, claimed_until = 0, retry_at = 0

-- A renewal that failed is none any more, once its subscription has changed. A statement of its own: what somebody has
-- noted while the one before waited for him is seen by it.

-- name: forget_failed_renewals
delete from job j
using unnest(cast(? as text[]), cast(? as text[]), cast(? as smallint[])) n (workspace, subject, bucket)
where j.kind = 'renew' and j.workspace = n.workspace and j.subject = n.subject and j.bucket = n.bucket

-- Those that were written: what is told once, and was told before, is not.

-- name: save_events
insert into event (workspace, id, bucket, type, account, at, data, once)
select * from unnest(cast(? as event_row[]))
on conflict (workspace, once, bucket) where once is not null do nothing
returning id

-- name: save_deliveries
insert into outbox (workspace, endpoint, bucket, due_at, event, account, number, attempts)
select * from unnest(cast(? as delivery_row[]))

-- name: save_due
insert into job (kind, workspace, subject, bucket, due_at)
select 'account', d.* from unnest(cast(? as text[]), cast(? as text[]), cast(? as smallint[]), cast(? as bigint[])) d
on conflict (kind, workspace, subject, bucket) do update
set due_at = excluded.due_at, attempts = 0, locked_until = 0, last_error = null, parked_at = null

-- What waits for another time is looked at now.

-- name: save_top_up_due
insert into job (kind, workspace, subject, bucket, due_at)
select 'top_up', d.* from unnest(cast(? as text[]), cast(? as text[]), cast(? as smallint[]), cast(? as bigint[])) d
on conflict (kind, workspace, subject, bucket) do update set due_at = least(job.due_at, excluded.due_at)

-- name: delete_due
delete from job j
using unnest(cast(? as text[]), cast(? as text[]), cast(? as smallint[])) d (workspace, subject, bucket)
where j.kind = 'account' and j.workspace = d.workspace and j.subject = d.subject and j.bucket = d.bucket
