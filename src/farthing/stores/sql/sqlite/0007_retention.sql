-- What is kept of entries that were archived, and of texts that were erased; and the one way to do either.

-- Law 3 goes on: what a key's first answer is told from, where its entry is archived, or was never ours. The key itself
-- stays in its table.
create table kept_key (
    workspace text not null,
    key text not null,
    account text not null,
    bucket integer not null,
    number integer not null,
    fingerprint blob not null,
    answer text not null,
    primary key (workspace, key, account, bucket)
) strict, without rowid;

-- The same for a payment whose entry is archived.
alter table payment add column answer text;

-- In the place of an account's archived entries: where its books go on, as the last of these left them.
create table checkpoint (
    workspace text not null,
    account text not null,
    bucket integer not null,
    number integer not null,
    entry text not null,
    at integer not null,
    used_until integer not null,
    hash blob not null,
    archive text not null,
    made_at integer not null,
    state text not null,
    primary key (workspace, account, bucket)
) strict, without rowid;
create index checkpoint_bucket on checkpoint (workspace, bucket, at);
create index checkpoint_used on checkpoint (workspace, used_until);

-- SHA-256 of texts that were erased, which is all that an entry's hash covers of them.
create table erased (
    entry text not null,
    bucket integer not null,
    workspace text not null,
    account text not null,
    description text,
    metadata text,
    primary key (entry, bucket)
) strict, without rowid;

-- A transaction that may delete entries and their usage, or blank texts, puts a row here and takes it away again: outside
-- of one the table is empty.
create table retiring (
    txid integer primary key check (txid = 1)
) strict;

drop trigger entry_no_update;
create trigger entry_no_update before update on entry when
    not exists (select 1 from retiring) or new.description is not null or new.metadata is not null
    or old.position is not new.position or old.workspace is not new.workspace or old.account is not new.account
    or old.bucket is not new.bucket or old.number is not new.number or old.id is not new.id
    or old.kind is not new.kind or old.amount is not new.amount or old.balance is not new.balance
    or old.held is not new.held or old.debt is not new.debt or old.at is not new.at or old.key is not new.key
    or old.fingerprint is not new.fingerprint or old.actor is not new.actor or old.request_id is not new.request_id
    or old.operation is not new.operation or old.body is not new.body or old.version is not new.version
    or old.hash is not new.hash
begin select raise(abort, 'entries are never changed'); end;
drop trigger entry_no_delete;
create trigger entry_no_delete before delete on entry when not exists (select 1 from retiring)
begin select raise(abort, 'entries are never deleted'); end;
drop trigger usage_no_delete;
create trigger usage_no_delete before delete on usage when not exists (select 1 from retiring)
begin select raise(abort, 'usage is never deleted'); end;
drop trigger audit_no_update;
create trigger audit_no_update before update on audit when
    not exists (select 1 from retiring) or old.position is not new.position or old.workspace is not new.workspace
    or old.at is not new.at or old.actor is not new.actor or old.request_id is not new.request_id
    or old.action is not new.action or old.subject is not new.subject or old.entry is not new.entry
begin select raise(abort, 'audit records are never changed'); end;

create trigger kept_key_no_update before update on kept_key when
    not exists (select 1 from retiring) or old.workspace is not new.workspace or old.key is not new.key
    or old.account is not new.account or old.bucket is not new.bucket or old.number is not new.number
    or old.fingerprint is not new.fingerprint
begin select raise(abort, 'keys are kept for ever'); end;
create trigger kept_key_no_delete before delete on kept_key
begin select raise(abort, 'keys are kept for ever'); end;
create trigger checkpoint_no_update before update on checkpoint when not exists (select 1 from retiring)
begin select raise(abort, 'checkpoints only move on, with what is archived'); end;
create trigger checkpoint_no_delete before delete on checkpoint
begin select raise(abort, 'checkpoints only move on, with what is archived'); end;
