-- Telling the world: who wants to be told of what, what is still to be sent, and what became of it.

-- Who is told of what, as a document that `webhook_endpoint` explains: written with each change of it, and read with the
-- workspace, so that a commit knows what to write beside its entries. Empty: nobody wants to know anything.
alter table workspace add column told text not null default '';

-- What an event is told once for, such as a grant's coming end: another with the same words is not written.
alter table event add column once text;
create unique index event_once on event (workspace, once, bucket) where once is not null;

-- Where events go. A listener is one without an address: it reads the events themselves, and goes when `expires_at` is
-- over. `secrets` is a document, the one that is valid from now on first.
create table webhook_endpoint (
    workspace text not null references workspace (id),
    id text not null,
    url text not null,
    types text not null,
    description text not null,
    ordered integer not null,
    secrets text not null,
    state text not null,
    reason text not null,
    failing_since integer,
    expires_at integer,
    created_at integer not null,
    updated_at integer not null,
    primary key (workspace, id)
) strict, without rowid;

-- What is still to be sent: a row for an event and an endpoint, written in the commit of what the event tells, and gone
-- when it was delivered or given up. Who sends it puts `due_at` ahead meanwhile. `number` is that of the account's entry.
-- Where the endpoint wants what is about an account in its order, who sends lines them up: of each account the first is
-- due, and the others (`lined` as well) wait for it without a date.
create table outbox (
    workspace text not null,
    endpoint text not null,
    bucket integer not null,
    due_at integer not null,
    event text not null,
    account text not null,
    number integer not null,
    attempts integer not null,
    lined integer not null default 0,
    primary key (workspace, endpoint, due_at, event, bucket)
) strict, without rowid;
create index outbox_line on outbox (workspace, endpoint, account, number, event) where lined = 1;

-- Each try, and what came of it.
create table delivery (
    workspace text not null,
    endpoint text not null,
    event text not null,
    bucket integer not null,
    attempt integer not null,
    at integer not null,
    type text not null,
    outcome text not null,
    status integer,
    detail text not null,
    millis integer not null,
    primary key (workspace, endpoint, event, attempt, bucket)
) strict, without rowid;
create index delivery_at on delivery (workspace, endpoint, at, event);

-- A charge without the buyer: what was asked of a provider under a key, and what came of it, so that it is asked once.
-- `comes_as` is what the payment will be known by. `version` is raised by each change.
create table billing (
    workspace text not null,
    key text not null,
    account text not null,
    provider text not null,
    comes_as text not null,
    state text not null,
    asked_at integer not null,
    version integer not null,
    document text not null,
    primary key (workspace, key)
) strict, without rowid;
create index billing_account on billing (workspace, account, asked_at);
create index billing_comes_as on billing (workspace, provider, comes_as);
