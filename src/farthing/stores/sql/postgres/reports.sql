-- Reading for people: what only PostgreSQL says this way.

-- name: weaknesses
select name || ' is off' from pg_settings
where name in ('fsync', 'full_page_writes', 'synchronous_commit') and setting = 'off' order by name
