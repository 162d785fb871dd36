-- Jobs: what their table lacked. Events: what happened, for whoever wants to be told.

-- When it was run last, and what came of it, in words. Of an item that failed, `locked_until` says when it may be tried
-- again; of a job that stands, `due_at` does.
alter table job add column ran_at integer;
alter table job add column outcome text;
-- What has failed: few, whatever else waits.
create index job_failed on job (kind, workspace, subject) where attempts > 0;

-- Rows are added and never changed; `account` is empty where it is about none, `workspace` where it is about all.
create table event (
    workspace text not null,
    id text not null,
    bucket integer not null,
    type text not null,
    account text not null,
    at integer not null,
    data text not null,
    primary key (workspace, id, bucket)
) strict, without rowid;
create index event_type on event (workspace, type, id);
