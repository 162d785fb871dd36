-- Prices over time, what was used, and what reports are read from.

-- Versions of a workspace's rate cards. A version is never changed; one that has not begun may be withdrawn.
create table rate_card (
    workspace text not null references workspace (id),
    card text not null,
    version integer not null,
    effective_from integer not null,
    document text not null,
    hash blob not null,
    created_at integer not null,
    actor text not null,
    reason text not null,
    withdrawn_at integer,
    primary key (workspace, card, version)
) strict, without rowid;

-- What models cost, for all workspaces: a version of a model's price is never changed, only let in or kept out.
create table model_price (
    provider text not null,
    model text not null,
    version integer not null,
    effective_from integer not null,
    status text not null check (status in ('active', 'quarantined', 'refused', 'withdrawn')),
    document text not null,
    source text not null,
    source_version text not null,
    reason text not null,
    actor text not null,
    created_at integer not null,
    primary key (provider, model, version)
) strict, without rowid;
create index model_price_status on model_price (status, provider, model);

-- What was used, a row for each charge that carries it, under the id of its entry; never changed.
create table usage (
    id text not null,
    workspace text not null,
    account text not null,
    bucket integer not null,
    at integer not null,
    booked_at integer not null,
    service text not null,
    operation text not null,
    provider text not null,
    model text not null,
    chat text not null,
    input_tokens integer not null,
    output_tokens integer not null,
    tokens integer not null,
    amount integer not null,
    cost integer,
    unpriced integer not null,
    primary key (id, bucket)
) strict, without rowid;
create index usage_account on usage (workspace, account, at, id);
create index usage_chat on usage (workspace, account, chat, at, id) where chat <> '';
create index usage_time on usage (workspace, at);

-- Sums by slots of `span` microseconds: a quarter of an hour for each account, and, under the account '', a quarter and a
-- day for all of them. Counts and what was charged stand in the slot of the time of use; revenue in that of the booking.
-- Sums are kept in two halves, high * 10^9 + low, so that none can overflow.
create table rollup (
    workspace text not null,
    account text not null,
    span integer not null,
    at integer not null,
    service text not null,
    operation text not null,
    provider text not null,
    model text not null,
    bucket integer not null,
    requests integer not null,
    unpriced integer not null,
    uncosted integer not null,
    bookings integer not null,
    input_tokens_high integer not null,
    input_tokens_low integer not null,
    output_tokens_high integer not null,
    output_tokens_low integer not null,
    tokens_high integer not null,
    tokens_low integer not null,
    charged_high integer not null,
    charged_low integer not null,
    cost_high integer not null,
    cost_low integer not null,
    revenue_high integer not null,
    revenue_low integer not null,
    refunded_high integer not null,
    refunded_low integer not null,
    booked_cost_high integer not null,
    booked_cost_low integer not null,
    primary key (workspace, account, span, at, service, operation, provider, model, bucket)
) strict, without rowid;
create index rollup_time on rollup (workspace, span, at);

-- How far each lane of entries is folded into them. A file has one lane; its entries are ordered by position.
create table lane (
    id integer primary key,
    batch integer not null,
    entry text not null,
    moved_at integer not null
) strict;
insert into lane (id, batch, entry, moved_at) values (0, 0, '', 0);

create index entry_time on entry (workspace, at);

create trigger rate_card_no_update before update on rate_card when
    old.workspace is not new.workspace or old.card is not new.card or old.version is not new.version
    or old.effective_from is not new.effective_from or old.document is not new.document or old.hash is not new.hash
    or old.withdrawn_at is not null
begin select raise(abort, 'a version of a rate card is never changed'); end;
create trigger rate_card_no_delete before delete on rate_card
begin select raise(abort, 'a version of a rate card is never deleted'); end;
create trigger model_price_no_update before update on model_price when
    old.provider is not new.provider or old.model is not new.model or old.version is not new.version
    or old.document is not new.document
    or (old.effective_from is not new.effective_from and old.status <> 'quarantined')
begin select raise(abort, 'a version of a price is never changed'); end;
create trigger model_price_no_delete before delete on model_price
begin select raise(abort, 'a version of a price is never deleted'); end;
create trigger usage_no_update before update on usage
begin select raise(abort, 'usage is never changed'); end;
create trigger usage_no_delete before delete on usage
begin select raise(abort, 'usage is never deleted'); end;
