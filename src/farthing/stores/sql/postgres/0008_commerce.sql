-- Buying: what is sold, who bought what, and what providers have told.

-- What customers have one tier of, and buy top-ups for: a document.
create table product (
    workspace text collate "C" not null references workspace (id),
    id text collate "C" not null,
    document text not null,
    created_at bigint not null,
    updated_at bigint not null,
    archived_at bigint,
    primary key (workspace, id)
);

-- How a workspace speaks with a payment provider: a document, with its secrets or where they are found.
create table provider (
    workspace text collate "C" not null references workspace (id),
    id text collate "C" not null,
    document text not null,
    created_at bigint not null,
    updated_at bigint not null,
    primary key (workspace, id)
);

-- What somebody bought; `account` is empty while nobody knows whose it is. `version` is raised by each change.
create table purchase_order (
    workspace text collate "C" not null,
    provider text collate "C" not null,
    id text collate "C" not null,
    account text collate "C" not null,
    offer text collate "C" not null,
    state text not null,
    bought_at bigint not null,
    version bigint not null,
    document text not null,
    primary key (workspace, provider, id)
);
create index purchase_order_account on purchase_order (workspace, account, bought_at);
create index purchase_order_at on purchase_order (workspace, bought_at, provider, id);

-- Whose a purchase will be that comes back under this name: a provider has room for few letters.
create table checkout (
    workspace text collate "C" not null,
    id text collate "C" not null,
    account text collate "C" not null,
    created_at bigint not null,
    primary key (workspace, id)
);

-- As whom a provider knows an account, for charging it again.
create table customer (
    workspace text collate "C" not null,
    provider text collate "C" not null,
    account text collate "C" not null,
    id text collate "C" not null,
    created_at bigint not null,
    primary key (workspace, provider, account)
);

-- A payment: what came in, what it was credited with, what has gone back.
create table receipt (
    workspace text collate "C" not null,
    provider text collate "C" not null,
    payment text collate "C" not null,
    purchase_order text collate "C" not null,
    account text collate "C" not null,
    state text not null,
    at bigint not null,
    version bigint not null,
    document text not null,
    primary key (workspace, provider, payment)
);
create index receipt_at on receipt (workspace, at, provider, payment);
create index receipt_account on receipt (workspace, account, at);
create index receipt_order on receipt (workspace, provider, purchase_order);
create index receipt_waiting on receipt (workspace, at) where state = 'waiting';

-- What a provider has sent, as it came; `done_at` is empty until all that follows from it is in the ledger. What is not
-- done by `due_at` is tried again.
create table provider_event (
    workspace text collate "C" not null,
    provider text collate "C" not null,
    id text collate "C" not null,
    kind text not null,
    received_at bigint not null,
    due_at bigint not null,
    done_at bigint,
    times bigint not null,
    outcome text not null,
    body text not null,
    primary key (workspace, provider, id)
);
create index provider_event_at on provider_event (workspace, received_at);
create index provider_event_open on provider_event (due_at) where done_at is null;
