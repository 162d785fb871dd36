-- What listings are served by, and keys of operators, which belong to no workspace.

create table operator_key (
    id text collate "C" primary key,
    hash bytea not null unique,
    hint text not null,
    name text not null,
    created_at bigint not null,
    expires_at bigint,
    revoked_at bigint
);

-- Ids are ordered by time: an account's holds, newest first, ended ones included.
create index hold_account on hold (workspace, account, id);
create index payment_recent on payment (workspace, at, provider, object);
create index payment_account on payment (workspace, account, at, provider, object);
