-- Plans, and who has one.

-- What a subscription gives: a document. One that is archived takes no new subscribers.
create table plan (
    workspace text not null references workspace (id),
    id text not null,
    document text not null,
    created_at integer not null,
    updated_at integer not null,
    archived_at integer,
    primary key (workspace, id)
) strict, without rowid;

-- An account's subscription, as the last entry that changed it tells it. `claimed_until` and `retry_at` are marks of who
-- renews: that somebody is at it, and when one that failed is tried again; no entry knows of them.
create table subscription (
    workspace text not null,
    account text not null,
    bucket integer not null,
    id text not null,
    plan text not null,
    billed_by text not null,
    next_at integer not null,
    ends_at integer,
    ended_at integer,
    terms text not null,
    claimed_until integer not null default 0,
    retry_at integer not null default 0,
    primary key (workspace, account, bucket)
) strict, without rowid;
-- What is due, the oldest first; and what ends.
create index subscription_due on subscription (workspace, next_at, account) where ended_at is null;
create index subscription_end on subscription (workspace, ends_at) where ended_at is null and ends_at is not null;
