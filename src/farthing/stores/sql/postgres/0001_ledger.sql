-- The ledger: workspaces, accounts, entries, keys, grants, holds, charges, and what rides in a commit.
-- The same tables and columns as on SQLite, so that a ledger can be copied from one to the other.
-- Amounts are smallest units of the workspace, times microseconds since the epoch (UTC), yes and no are 1 and 0.
-- `bucket` (a hash of workspace and account) is in every key, so that rows can be placed by it one day.
-- Text is compared as bytes (collate "C"), as the laws ask for keys and accounts, and as SQLite does.

create table config (
    name text collate "C" primary key,
    value text not null
);
insert into config (name, value) values ('version', '1');

create table workspace (
    id text collate "C" primary key,
    name text not null,
    mode text not null check (mode in ('live', 'test')),
    unit text not null,
    scale smallint not null check (scale between 0 and 12),
    created_at bigint not null,
    settings text not null
);

create table api_key (
    id text collate "C" primary key,
    workspace text collate "C" not null references workspace (id),
    hash bytea not null unique,
    hint text not null,
    name text not null,
    scopes text not null,
    created_at bigint not null,
    expires_at bigint,
    revoked_at bigint
);
create index api_key_workspace on api_key (workspace, created_at);

-- The account's row: a snapshot that the entries explain. `grants` holds the live ones in burn order.
-- Each charge writes it: room on its page and no index on what changes let it be rewritten in place.
create table account (
    workspace text collate "C" not null,
    id text collate "C" not null,
    bucket smallint not null,
    number bigint not null,
    balance bigint not null,
    held bigint not null check (held >= 0),
    debt bigint not null check (debt >= 0),
    earned bigint not null,
    spent bigint not null,
    lapsed bigint not null,
    written_off bigint not null,
    at bigint not null,
    head bytea not null,
    holds bigint not null check (holds >= 0),
    lapse_at bigint,
    hold_due_at bigint,
    grants text not null,
    settings text not null,
    spending text not null,
    primary key (workspace, id, bucket)
) with (fillfactor = 60, autovacuum_vacuum_scale_factor = 0.05);

-- Append-only.
create table entry (
    workspace text collate "C" not null,
    account text collate "C" not null,
    bucket smallint not null,
    number bigint not null,
    id text collate "C" not null,
    kind text not null,
    amount bigint not null,
    balance bigint not null,
    held bigint not null,
    debt bigint not null,
    at bigint not null,
    key text collate "C",
    fingerprint bytea,
    actor text not null,
    request_id text not null,
    operation text not null,
    description text,
    metadata text,
    body text not null,
    version smallint not null,
    hash bytea not null,
    primary key (id, bucket)
);
create unique index entry_account on entry (workspace, account, number, bucket);

-- Law 3: a key is unique per workspace and account, for ever. Key first: keys are local in time, accounts are not.
create table key (
    workspace text collate "C" not null,
    key text collate "C" not null,
    account text collate "C" not null,
    bucket smallint not null,
    number bigint not null,
    primary key (workspace, key, account, bucket)
);

-- Grants as they were given, for listing, voids and refunds; the live ones are in the account's row.
create table grants (
    id text collate "C" not null,
    workspace text collate "C" not null,
    account text collate "C" not null,
    bucket smallint not null,
    amount bigint not null,
    created_at bigint not null,
    expires_at bigint,
    voided smallint not null,
    gone bigint not null,
    terms text not null,
    primary key (id, bucket)
);
create index grants_account on grants (workspace, account, created_at);

create table hold (
    id text collate "C" not null,
    workspace text collate "C" not null,
    account text collate "C" not null,
    bucket smallint not null,
    state text not null check (state in ('live', 'settled', 'released', 'expired')),
    expires_at bigint not null,
    remaining bigint not null check (remaining >= 0),
    terms text not null,
    primary key (id, bucket)
);
create index hold_live on hold (workspace, account, expires_at) where state = 'live';

-- What became of a charge after its entry (refunds, debt); a charge without a row stands as its entry says.
create table charge (
    id text collate "C" not null,
    workspace text collate "C" not null,
    account text collate "C" not null,
    bucket smallint not null,
    debt bigint not null check (debt >= 0),
    terms text not null,
    primary key (id, bucket)
);
create index charge_owing on charge (workspace, account, id) where debt > 0;

-- A directory: whose payment it is. Claim and grant commit together; unique whatever the account.
create table payment (
    workspace text collate "C" not null,
    provider text collate "C" not null,
    object text collate "C" not null,
    account text collate "C" not null,
    entry text collate "C" not null,
    at bigint not null,
    primary key (workspace, provider, object)
);

create table audit (
    position bigint generated by default as identity primary key,
    workspace text collate "C" not null,
    at bigint not null,
    actor text not null,
    request_id text not null,
    action text not null,
    subject text not null,
    entry text not null,
    detail text not null
);
create index audit_workspace on audit (workspace, at);

-- Work that time brings: rows with a due date, so that a process that was down catches up.
create table job (
    kind text collate "C" not null,
    workspace text collate "C" not null,
    subject text collate "C" not null,
    bucket smallint not null,
    due_at bigint not null,
    attempts bigint not null default 0,
    locked_until bigint not null default 0,
    last_error text,
    parked_at bigint,
    primary key (kind, workspace, subject, bucket)
);
create index job_due on job (due_at) where parked_at is null;

-- The rows of a batch as they are sent: one list of rows costs a third of a list for each column. These types are of the
-- programs that speak to this schema, not of its tables: a program that needs another field brings another type.
create type account_name as (workspace text, id text, bucket smallint);
create type key_name as (workspace text, key text, account text, bucket smallint);
create type account_row as (
    workspace text, id text, bucket smallint, number bigint, balance bigint, held bigint, debt bigint, earned bigint,
    spent bigint, lapsed bigint, written_off bigint, at bigint, head bytea, holds bigint, lapse_at bigint,
    hold_due_at bigint, grants text, settings text, spending text, number_before bigint
);
create type entry_row as (
    workspace text, account text, bucket smallint, number bigint, id text, kind text, amount bigint, balance bigint,
    held bigint, debt bigint, at bigint, key text, fingerprint bytea, actor text, request_id text, operation text,
    description text, metadata text, body text, version smallint, hash bytea
);

-- Ends a statement that wrote fewer accounts than it was meant to: somebody else has written one of them meanwhile.
create function farthing_expect(written bigint, expected bigint) returns bigint language plpgsql as $$
begin
    if written <> expected then
        raise exception '% of % accounts were written by another process first', expected - written, expected
            using errcode = 'serialization_failure';
    end if;
    return written;
end $$;

create function farthing_refuse_change() returns trigger language plpgsql as $$
begin
    raise exception '%', tg_argv[0] using errcode = 'restrict_violation';
end $$;
create trigger entry_no_change before update or delete on entry
    for each row execute function farthing_refuse_change('entries are never changed or deleted');
create trigger entry_no_truncate before truncate on entry
    for each statement execute function farthing_refuse_change('entries are never changed or deleted');
create trigger audit_no_change before update or delete on audit
    for each row execute function farthing_refuse_change('audit records are never changed or deleted');
create trigger audit_no_truncate before truncate on audit
    for each statement execute function farthing_refuse_change('audit records are never changed or deleted');
create trigger key_no_change before update or delete on key
    for each row execute function farthing_refuse_change('keys are kept for ever: never changed or deleted');
create trigger key_no_truncate before truncate on key
    for each statement execute function farthing_refuse_change('keys are kept for ever: never changed or deleted');
