-- The ledger: workspaces, accounts, entries, keys, grants, holds, charges, and what rides in a commit.
-- Amounts are smallest units of the workspace, times microseconds since the epoch (UTC).
-- `bucket` (a hash of workspace and account) is in every key, so that rows can be placed by it one day.

create table config (
    name text primary key,
    value text not null
) strict, without rowid;
insert into config (name, value) values ('version', '1');

create table workspace (
    id text primary key,
    name text not null,
    mode text not null check (mode in ('live', 'test')),
    unit text not null,
    scale integer not null check (scale between 0 and 12),
    created_at integer not null,
    settings text not null
) strict, without rowid;

create table api_key (
    id text primary key,
    workspace text not null references workspace (id),
    hash blob not null unique,
    hint text not null,
    name text not null,
    scopes text not null,
    created_at integer not null,
    expires_at integer,
    revoked_at integer
) strict, without rowid;
create index api_key_workspace on api_key (workspace, created_at);

-- The account's row: a snapshot that the entries explain. `grants` holds the live ones in burn order.
create table account (
    workspace text not null,
    id text not null,
    bucket integer not null,
    number integer not null,
    balance integer not null,
    held integer not null check (held >= 0),
    debt integer not null check (debt >= 0),
    earned integer not null,
    spent integer not null,
    lapsed integer not null,
    written_off integer not null,
    at integer not null,
    head blob not null,
    holds integer not null check (holds >= 0),
    lapse_at integer,
    hold_due_at integer,
    grants text not null,
    settings text not null,
    spending text not null,
    primary key (workspace, id, bucket)
) strict, without rowid;

-- Append-only. In a table with a rowid new entries go to its end, whatever their account.
create table entry (
    position integer primary key,
    workspace text not null,
    account text not null,
    bucket integer not null,
    number integer not null,
    id text not null,
    kind text not null,
    amount integer not null,
    balance integer not null,
    held integer not null,
    debt integer not null,
    at integer not null,
    key text,
    fingerprint blob,
    actor text not null,
    request_id text not null,
    operation text not null,
    description text,
    metadata text,
    body text not null,
    version integer not null,
    hash blob not null
) strict;
create unique index entry_account on entry (workspace, account, number, bucket);
create unique index entry_id on entry (id, bucket);

-- Law 3: a key is unique per workspace and account, for ever. Key first: keys are local in time, accounts are not.
create table key (
    workspace text not null,
    key text not null,
    account text not null,
    bucket integer not null,
    number integer not null,
    primary key (workspace, key, account, bucket)
) strict, without rowid;

-- Grants as they were given, for listing, voids and refunds; the live ones are in the account's row.
create table grants (
    id text not null,
    workspace text not null,
    account text not null,
    bucket integer not null,
    amount integer not null,
    created_at integer not null,
    expires_at integer,
    voided integer not null,
    gone integer not null,
    terms text not null,
    primary key (id, bucket)
) strict, without rowid;
create index grants_account on grants (workspace, account, created_at);

create table hold (
    id text not null,
    workspace text not null,
    account text not null,
    bucket integer not null,
    state text not null check (state in ('live', 'settled', 'released', 'expired')),
    expires_at integer not null,
    remaining integer not null check (remaining >= 0),
    terms text not null,
    primary key (id, bucket)
) strict, without rowid;
create index hold_live on hold (workspace, account, expires_at) where state = 'live';

-- What became of a charge after its entry (refunds, debt); a charge without a row stands as its entry says.
create table charge (
    id text not null,
    workspace text not null,
    account text not null,
    bucket integer not null,
    debt integer not null check (debt >= 0),
    terms text not null,
    primary key (id, bucket)
) strict, without rowid;
create index charge_owing on charge (workspace, account, id) where debt > 0;

-- A directory: whose payment it is. Claim and grant commit together; unique whatever the account.
create table payment (
    workspace text not null,
    provider text not null,
    object text not null,
    account text not null,
    entry text not null,
    at integer not null,
    primary key (workspace, provider, object)
) strict, without rowid;

create table audit (
    position integer primary key,
    workspace text not null,
    at integer not null,
    actor text not null,
    request_id text not null,
    action text not null,
    subject text not null,
    entry text not null,
    detail text not null
) strict;
create index audit_workspace on audit (workspace, at);

-- Work that time brings: rows with a due date, so that a process that was down catches up.
create table job (
    kind text not null,
    workspace text not null,
    subject text not null,
    bucket integer not null,
    due_at integer not null,
    attempts integer not null default 0,
    locked_until integer not null default 0,
    last_error text,
    parked_at integer,
    primary key (kind, workspace, subject, bucket)
) strict, without rowid;
create index job_due on job (due_at) where parked_at is null;

create trigger entry_no_update before update on entry
begin select raise(abort, 'entries are never changed'); end;
create trigger entry_no_delete before delete on entry
begin select raise(abort, 'entries are never deleted'); end;
create trigger audit_no_update before update on audit
begin select raise(abort, 'audit records are never changed'); end;
create trigger audit_no_delete before delete on audit
begin select raise(abort, 'audit records are never deleted'); end;
create trigger key_no_update before update on key
begin select raise(abort, 'keys are kept for ever'); end;
create trigger key_no_delete before delete on key
begin select raise(abort, 'keys are kept for ever'); end;
