-- The conventional design: accounts, grants as rows, an append-only ledger, keys with the first answer.
-- Amounts are bigint micro-credits. Times are the database's own clock.

create table api_key (
    hash bytea primary key,
    workspace_id integer not null,
    scopes text[] not null,
    revoked_at timestamptz
);

create table account (
    workspace_id integer not null,
    account_id text not null,
    balance bigint not null default 0 check (balance >= 0),
    earned bigint not null default 0,
    spent bigint not null default 0,
    entries bigint not null default 0,
    created_at timestamptz not null default clock_timestamp(),
    primary key (workspace_id, account_id)
) with (fillfactor = 70);

create table credit_grant (
    id bigint generated always as identity primary key,
    workspace_id integer not null,
    account_id text not null,
    amount bigint not null check (amount > 0),
    remaining bigint not null check (remaining between 0 and amount),
    -- False once nothing remains or the date has passed. The index depends on this column and not on
    -- `remaining`, so that an ordinary charge leaves the index alone (a heap-only update).
    live boolean not null default true,
    expires_at timestamptz,
    created_at timestamptz not null default clock_timestamp(),
    foreign key (workspace_id, account_id) references account (workspace_id, account_id)
) with (fillfactor = 70);
create index credit_grant_live on credit_grant (workspace_id, account_id) where live;

create table ledger_entry (
    workspace_id integer not null,
    account_id text not null,
    number bigint not null check (number > 0),
    id uuid not null,
    kind text not null check (kind in ('grant', 'charge', 'lapse')),
    amount bigint not null,
    balance_after bigint not null check (balance_after >= 0),
    slices jsonb not null,
    operation text,
    description text,
    metadata jsonb,
    created_at timestamptz not null default clock_timestamp(),
    primary key (workspace_id, account_id, number)
);

create table idempotency_key (
    workspace_id integer not null,
    key text not null,
    account_id text not null,
    fingerprint bytea not null,
    answer text not null,
    primary key (workspace_id, key, account_id)
);

create function refuse_change() returns trigger language plpgsql as $$
begin
    raise exception '% is append-only', tg_table_name;
end $$;
create trigger ledger_entry_append_only before update or delete on ledger_entry
    for each statement execute function refuse_change();
create trigger idempotency_key_append_only before update or delete on idempotency_key
    for each statement execute function refuse_change();
