-- Plans, and who has one.

-- What a subscription gives: a document. One that is archived takes no new subscribers.
create table plan (
    workspace text collate "C" not null references workspace (id),
    id text collate "C" not null,
    document text not null,
    created_at bigint not null,
    updated_at bigint not null,
    archived_at bigint,
    primary key (workspace, id)
);

-- An account's subscription, as the last entry that changed it tells it. `claimed_until` and `retry_at` are marks of who
-- renews: that somebody is at it, and when one that failed is tried again; no entry knows of them.
create table subscription (
    workspace text collate "C" not null,
    account text collate "C" not null,
    bucket smallint not null,
    id text collate "C" not null,
    plan text collate "C" not null,
    billed_by text not null,
    next_at bigint not null,
    ends_at bigint,
    ended_at bigint,
    terms text not null,
    claimed_until bigint not null default 0,
    retry_at bigint not null default 0,
    primary key (workspace, account, bucket)
) with (fillfactor = 70);
-- What is due, the oldest first; and what ends.
create index subscription_due on subscription (workspace, next_at, account) where ended_at is null;
create index subscription_end on subscription (workspace, ends_at) where ended_at is null and ends_at is not null;
