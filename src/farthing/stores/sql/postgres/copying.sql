-- What a copy asks of a PostgreSQL database: its tables, who else is there, and the numbers it gives out.

-- name: columns
select t.relname, c.attname, coalesce(array_position(cast(i.indkey as smallint[]), c.attnum) + 1, 0)
from pg_class t
    join pg_attribute c on c.attrelid = t.oid and c.attnum > 0 and not c.attisdropped
    left join pg_index i on i.indrelid = t.oid and i.indisprimary
where t.relnamespace = (select oid from pg_namespace where nspname = current_schema())
    and t.relkind in ('r', 'p') and not t.relispartition
    and not exists (
        select 1 from pg_depend d
        where d.classid = cast('pg_class' as regclass) and d.objid = t.oid and d.deptype = 'e'
    )
order by t.relname, c.attnum

-- name: references
select t.relname, f.relname
from pg_constraint k join pg_class t on t.oid = k.conrelid join pg_class f on f.oid = k.confrelid
where k.contype = 'f' and t.relnamespace = (select oid from pg_namespace where nspname = current_schema())

-- name: others
select count(*) from pg_stat_activity
where datname = current_database() and pid <> pg_backend_pid() and usename is not null
    and coalesce(backend_type, 'client backend') = 'client backend'

-- name: numbered
select t.relname, c.attname
from pg_class t join pg_attribute c on c.attrelid = t.oid and c.attidentity <> '' and not c.attisdropped
where t.relnamespace = (select oid from pg_namespace where nspname = current_schema())

-- name: unfolded
(select 1 from lane l where l.id > 0 and exists (select 1 from entry e where e.lane = l.id and e.batch > l.batch))
union all
(
    select 1 from lane l
    where l.id = 0 and exists (select 1 from entry e where e.lane = 0 and (e.batch, e.id) > (l.batch, l.entry))
)
limit 1

-- name: call_folded
update lane l set batch = e.batch, entry = e.id
from (select batch, id from entry where lane = 0 order by batch desc, id desc limit 1) e where l.id = 0
