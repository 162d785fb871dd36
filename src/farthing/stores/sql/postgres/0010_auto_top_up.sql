-- Automatic top-ups: how each account's stands, and what was tried.

-- A document; a row is there from the first look on. What is set stands with the account. `paused` is the reason, or
-- empty.
create table auto_top_up (
    workspace text collate "C" not null,
    account text collate "C" not null,
    bucket smallint not null,
    paused text not null,
    document text not null,
    updated_at bigint not null,
    primary key (workspace, account, bucket)
);
create index auto_top_up_paused on auto_top_up (workspace, account) where paused <> '';

-- An attempt: a row is there before a provider is asked.
create table top_up (
    workspace text collate "C" not null,
    account text collate "C" not null,
    bucket smallint not null,
    id text collate "C" not null,
    state text not null,
    credits bigint not null,
    at bigint not null,
    document text not null,
    primary key (workspace, id, bucket)
);
create index top_up_account on top_up (workspace, account, at);
