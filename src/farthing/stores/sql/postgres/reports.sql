-- Reading for people: what only PostgreSQL says this way.

-- name: weaknesses
-- What this session has, and what a session that begins now would have: ours is begun anew when its connection is lost.
with begun as (
    select s.setrole, s.setdatabase, lower(split_part(c, '=', 2)) as setting
    from pg_db_role_setting s cross join unnest(s.setconfig) c
    where split_part(c, '=', 1) = 'synchronous_commit'
        and s.setdatabase in (0, (select oid from pg_database where datname = current_database()))
        and s.setrole in (0, (select oid from pg_roles where rolname = session_user))
    -- The order in which PostgreSQL lets one overrule the other.
    order by s.setrole = 0, s.setdatabase = 0
    limit 1
)
select name || ' is off' from pg_settings
where name in ('fsync', 'full_page_writes', 'synchronous_commit') and setting = 'off'
union
select 'synchronous_commit is off' from begun
where setting in ('off', 'false', 'no', '0')
    and not exists (select 1 from pg_settings where name = 'synchronous_commit' and source = 'client')
order by 1
