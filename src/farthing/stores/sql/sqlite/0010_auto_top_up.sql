-- Automatic top-ups: how each account's stands, and what was tried.

-- A document; a row is there from the first look on. What is set stands with the account. `paused` is the reason, or
-- empty.
create table auto_top_up (
    workspace text not null,
    account text not null,
    bucket integer not null,
    paused text not null,
    document text not null,
    updated_at integer not null,
    primary key (workspace, account, bucket)
) strict, without rowid;
create index auto_top_up_paused on auto_top_up (workspace, account) where paused <> '';

-- An attempt: a row is there before a provider is asked.
create table top_up (
    workspace text not null,
    account text not null,
    bucket integer not null,
    id text not null,
    state text not null,
    credits integer not null,
    at integer not null,
    document text not null,
    primary key (workspace, id, bucket)
) strict, without rowid;
create index top_up_account on top_up (workspace, account, at);
