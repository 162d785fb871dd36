-- What a copy asks of a SQLite file: its tables, in SQLite's words.

-- name: columns
select t.name, c.name, c.pk from sqlite_schema t, pragma_table_info(t.name) c
where t.type = 'table' and t.name not glob 'sqlite_*' order by t.name, c.cid

-- name: references
select t.name, f."table" from sqlite_schema t, pragma_foreign_key_list(t.name) f where t.type = 'table'

-- name: unfolded
select 1 from entry where position > (select batch from lane where id = 0) limit 1

-- name: call_folded
update lane set (batch, entry) = (select position, id from entry order by position desc limit 1)
where id = 0 and exists (select 1 from entry)
