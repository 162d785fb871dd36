-- Prices over time, what was used, and what reports are read from.

-- Versions of a workspace's rate cards. A version is never changed; one that has not begun may be withdrawn.
create table rate_card (
    workspace text collate "C" not null references workspace (id),
    card text collate "C" not null,
    version bigint not null,
    effective_from bigint not null,
    document text not null,
    hash bytea not null,
    created_at bigint not null,
    actor text not null,
    reason text not null,
    withdrawn_at bigint,
    primary key (workspace, card, version)
);

-- What models cost, for all workspaces: a version of a model's price is never changed, only let in or kept out.
create table model_price (
    provider text collate "C" not null,
    model text collate "C" not null,
    version bigint not null,
    effective_from bigint not null,
    status text not null check (status in ('active', 'quarantined', 'refused', 'withdrawn')),
    document text not null,
    source text not null,
    source_version text not null,
    reason text not null,
    actor text not null,
    created_at bigint not null,
    primary key (provider, model, version)
);
create index model_price_status on model_price (status, provider, model);

-- What was used, a row for each charge that carries it, under the id of its entry; never changed.
create table usage (
    id text collate "C" not null,
    workspace text collate "C" not null,
    account text collate "C" not null,
    bucket smallint not null,
    at bigint not null,
    booked_at bigint not null,
    service text collate "C" not null,
    operation text collate "C" not null,
    provider text collate "C" not null,
    model text collate "C" not null,
    chat text collate "C" not null,
    input_tokens bigint not null,
    output_tokens bigint not null,
    tokens bigint not null,
    amount bigint not null,
    cost bigint,
    unpriced smallint not null,
    primary key (id, bucket)
);
create index usage_account on usage (workspace, account, at, id);
create index usage_chat on usage (workspace, account, chat, at, id) where chat <> '';
create index usage_time on usage (workspace, at);

-- Sums by slots of `span` microseconds: a quarter of an hour for each account, and, under the account '', a quarter and a
-- day for all of them. Counts and what was charged stand in the slot of the time of use; revenue in that of the booking.
-- Sums are kept in two halves, high * 10^9 + low, so that none can overflow.
-- A row is written again and again: room on its page lets it be rewritten in place.
create table rollup (
    workspace text collate "C" not null,
    account text collate "C" not null,
    span bigint not null,
    at bigint not null,
    service text collate "C" not null,
    operation text collate "C" not null,
    provider text collate "C" not null,
    model text collate "C" not null,
    bucket smallint not null,
    requests bigint not null,
    unpriced bigint not null,
    uncosted bigint not null,
    bookings bigint not null,
    input_tokens_high bigint not null,
    input_tokens_low bigint not null,
    output_tokens_high bigint not null,
    output_tokens_low bigint not null,
    tokens_high bigint not null,
    tokens_low bigint not null,
    charged_high bigint not null,
    charged_low bigint not null,
    cost_high bigint not null,
    cost_low bigint not null,
    revenue_high bigint not null,
    revenue_low bigint not null,
    refunded_high bigint not null,
    refunded_low bigint not null,
    booked_cost_high bigint not null,
    booked_cost_low bigint not null,
    primary key (workspace, account, span, at, service, operation, provider, model, bucket)
) with (fillfactor = 50);
create index rollup_time on rollup (workspace, span, at);

-- How far each lane of entries is folded into them. A lane is one connection's commits, numbered in their order: what it
-- has committed up to its last number has no gap. Entries of lane 0 were written by programs that know no lanes, or were
-- copied: their batch is the number of the transaction, and those before the oldest one that is still open are complete.
-- Within a batch of lane 0 `entry` says how far; what was there before this migration is batch 0 of it.
create table lane (
    id bigint primary key,
    batch bigint not null,
    entry text collate "C" not null,
    moved_at bigint not null
);
create sequence lane_number;
insert into lane (id, batch, entry, moved_at) values (0, 0, '', 0);

alter table entry add column lane bigint not null default 0, add column batch bigint not null default 0;
alter table entry alter column batch set default txid_current();
create index entry_lane on entry (lane, batch) where lane > 0;
create index entry_without_lane on entry (batch, id) where lane = 0;
-- Entries lie in the order in which they were written, which is nearly that of their time.
create index entry_time on entry using brin (at) with (pages_per_range = 32, autosummarize = on);

create type usage_row as (
    id text, workspace text, account text, bucket smallint, at bigint, booked_at bigint, service text, operation text,
    provider text, model text, chat text, input_tokens bigint, output_tokens bigint, tokens bigint, amount bigint,
    cost bigint, unpriced smallint
);

create type rollup_row as (
    workspace text, account text, span bigint, at bigint, service text, operation text, provider text, model text,
    bucket smallint, requests bigint, unpriced bigint, uncosted bigint, bookings bigint, input_tokens_high bigint,
    input_tokens_low bigint, output_tokens_high bigint, output_tokens_low bigint, tokens_high bigint, tokens_low bigint,
    charged_high bigint, charged_low bigint, cost_high bigint, cost_low bigint, revenue_high bigint, revenue_low bigint,
    refunded_high bigint, refunded_low bigint, booked_cost_high bigint, booked_cost_low bigint
);

create function farthing_keep_rate_card() returns trigger language plpgsql as $$
begin
    if (old.workspace, old.card, old.version, old.effective_from, old.document, old.hash)
        is distinct from (new.workspace, new.card, new.version, new.effective_from, new.document, new.hash)
        or old.withdrawn_at is not null
    then
        raise exception 'a version of a rate card is never changed' using errcode = 'restrict_violation';
    end if;
    return new;
end $$;
create trigger rate_card_no_change before update on rate_card
    for each row execute function farthing_keep_rate_card();
create trigger rate_card_no_delete before delete on rate_card
    for each row execute function farthing_refuse_change('a version of a rate card is never deleted');
create trigger rate_card_no_truncate before truncate on rate_card
    for each statement execute function farthing_refuse_change('a version of a rate card is never deleted');
create function farthing_keep_model_price() returns trigger language plpgsql as $$
begin
    if (old.provider, old.model, old.version, old.document)
        is distinct from (new.provider, new.model, new.version, new.document)
        or (old.effective_from <> new.effective_from and old.status <> 'quarantined')
    then
        raise exception 'a version of a price is never changed' using errcode = 'restrict_violation';
    end if;
    return new;
end $$;
create trigger model_price_no_change before update on model_price
    for each row execute function farthing_keep_model_price();
create trigger model_price_no_delete before delete on model_price
    for each row execute function farthing_refuse_change('a version of a price is never deleted');
create trigger model_price_no_truncate before truncate on model_price
    for each statement execute function farthing_refuse_change('a version of a price is never deleted');
create trigger usage_no_change before update or delete on usage
    for each row execute function farthing_refuse_change('usage is never changed or deleted');
create trigger usage_no_truncate before truncate on usage
    for each statement execute function farthing_refuse_change('usage is never changed or deleted');
