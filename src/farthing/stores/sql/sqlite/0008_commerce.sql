-- Buying: what is sold, who bought what, and what providers have told.

-- What customers have one tier of, and buy top-ups for: a document.
create table product (
    workspace text not null references workspace (id),
    id text not null,
    document text not null,
    created_at integer not null,
    updated_at integer not null,
    archived_at integer,
    primary key (workspace, id)
) strict, without rowid;

-- How a workspace speaks with a payment provider: a document, with its secrets or where they are found.
create table provider (
    workspace text not null references workspace (id),
    id text not null,
    document text not null,
    created_at integer not null,
    updated_at integer not null,
    primary key (workspace, id)
) strict, without rowid;

-- What somebody bought; `account` is empty while nobody knows whose it is. `version` is raised by each change.
create table purchase_order (
    workspace text not null,
    provider text not null,
    id text not null,
    account text not null,
    offer text not null,
    state text not null,
    bought_at integer not null,
    version integer not null,
    document text not null,
    primary key (workspace, provider, id)
) strict, without rowid;
create index purchase_order_account on purchase_order (workspace, account, bought_at);
create index purchase_order_at on purchase_order (workspace, bought_at, provider, id);

-- Whose a purchase will be that comes back under this name: a provider has room for few letters.
create table checkout (
    workspace text not null,
    id text not null,
    account text not null,
    created_at integer not null,
    primary key (workspace, id)
) strict, without rowid;

-- As whom a provider knows an account, for charging it again.
create table customer (
    workspace text not null,
    provider text not null,
    account text not null,
    id text not null,
    created_at integer not null,
    primary key (workspace, provider, account)
) strict, without rowid;

-- A payment: what came in, what it was credited with, what has gone back.
create table receipt (
    workspace text not null,
    provider text not null,
    payment text not null,
    purchase_order text not null,
    account text not null,
    state text not null,
    at integer not null,
    version integer not null,
    document text not null,
    primary key (workspace, provider, payment)
) strict, without rowid;
create index receipt_at on receipt (workspace, at, provider, payment);
create index receipt_account on receipt (workspace, account, at);
create index receipt_order on receipt (workspace, provider, purchase_order);
create index receipt_waiting on receipt (workspace, at) where state = 'waiting';

-- What a provider has sent, as it came; `done_at` is empty until all that follows from it is in the ledger. What is not
-- done by `due_at` is tried again.
create table provider_event (
    workspace text not null,
    provider text not null,
    id text not null,
    kind text not null,
    received_at integer not null,
    due_at integer not null,
    done_at integer,
    times integer not null,
    outcome text not null,
    body text not null,
    primary key (workspace, provider, id)
) strict, without rowid;
create index provider_event_at on provider_event (workspace, received_at);
create index provider_event_open on provider_event (due_at) where done_at is null;
