-- What is kept of entries that were archived, and of texts that were erased; and the one way to do either.

-- Law 3 goes on: what a key's first answer is told from, where its entry is archived, or was never ours. The key itself
-- stays in its table.
create table kept_key (
    workspace text collate "C" not null,
    key text collate "C" not null,
    account text collate "C" not null,
    bucket smallint not null,
    number bigint not null,
    fingerprint bytea not null,
    answer text not null,
    primary key (workspace, key, account, bucket)
);

-- The same for a payment whose entry is archived.
alter table payment add column answer text;

-- In the place of an account's archived entries: where its books go on, as the last of these left them.
create table checkpoint (
    workspace text collate "C" not null,
    account text collate "C" not null,
    bucket smallint not null,
    number bigint not null,
    entry text collate "C" not null,
    at bigint not null,
    used_until bigint not null,
    hash bytea not null,
    archive text not null,
    made_at bigint not null,
    state text not null,
    primary key (workspace, account, bucket)
);
create index checkpoint_bucket on checkpoint (workspace, bucket, at);
create index checkpoint_used on checkpoint (workspace, used_until);

-- SHA-256 of texts that were erased, which is all that an entry's hash covers of them.
create table erased (
    entry text collate "C" not null,
    bucket smallint not null,
    workspace text collate "C" not null,
    account text collate "C" not null,
    description text,
    metadata text,
    primary key (entry, bucket)
);

-- A transaction that may delete entries and their usage, or blank texts, has its number here; from `farthing_retire` to
-- `farthing_retired`, and in no case beyond its end. Who owns the tables may call them; others are given it by name.
create table retiring (
    txid bigint primary key
);
revoke all on table retiring from public;
grant select on table retiring to public;
create function farthing_retire() returns void language plpgsql security definer set search_path from current as $$
begin
    insert into retiring (txid) values (txid_current());
end $$;
create function farthing_retired() returns void language plpgsql security definer set search_path from current as $$
begin
    delete from retiring where txid = txid_current();
end $$;
revoke all on function farthing_retire() from public;
revoke all on function farthing_retired() from public;

-- The table is looked up beside the one that is changed: a temporary table of that name says nothing.
create or replace function farthing_refuse_change() returns trigger language plpgsql as $$
declare
    retiring boolean := false;
    may_change text[];
begin
    if tg_level = 'ROW' and tg_table_name in ('entry', 'usage', 'audit', 'kept_key', 'checkpoint') then
        execute format('select exists (select 1 from %I.retiring where txid = txid_current())', tg_table_schema)
            into retiring;
    end if;
    if retiring and tg_op = 'DELETE' and tg_table_name in ('entry', 'usage') then
        return old;
    end if;
    if retiring and tg_op = 'UPDATE' and tg_table_name = 'checkpoint' then
        return new;
    end if;
    if retiring and tg_op = 'UPDATE' then
        may_change := case tg_table_name
            when 'entry' then array['description', 'metadata']
            when 'audit' then array['detail']
            when 'kept_key' then array['answer']
            else array[]::text[]
        end;
        if to_jsonb(old) - may_change = to_jsonb(new) - may_change
            and (tg_table_name <> 'entry' or (
                (to_jsonb(new) ->> 'description') is null and (to_jsonb(new) ->> 'metadata') is null
            ))
        then
            return new;
        end if;
    end if;
    raise exception '%', tg_argv[0] using errcode = 'restrict_violation';
end $$;

create trigger kept_key_no_change before update or delete on kept_key
    for each row execute function farthing_refuse_change('keys are kept for ever: never changed or deleted');
create trigger kept_key_no_truncate before truncate on kept_key
    for each statement execute function farthing_refuse_change('keys are kept for ever: never changed or deleted');
create trigger checkpoint_no_change before update or delete on checkpoint
    for each row execute function farthing_refuse_change('checkpoints only move on, with what is archived');
create trigger checkpoint_no_truncate before truncate on checkpoint
    for each statement execute function farthing_refuse_change('checkpoints only move on, with what is archived');
