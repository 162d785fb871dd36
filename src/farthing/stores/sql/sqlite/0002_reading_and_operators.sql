-- What listings are served by, and keys of operators, which belong to no workspace.

create table operator_key (
    id text primary key,
    hash blob not null unique,
    hint text not null,
    name text not null,
    created_at integer not null,
    expires_at integer,
    revoked_at integer
) strict, without rowid;

-- Ids are ordered by time: an account's holds, newest first, ended ones included.
create index hold_account on hold (workspace, account, id);
create index payment_recent on payment (workspace, at, provider, object);
create index payment_account on payment (workspace, account, at, provider, object);
