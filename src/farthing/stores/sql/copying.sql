-- What a copy asks of both its sides. Sums are taken in two halves, so that none can overflow.

-- name: accounts
select workspace, count(*),
    sum(balance >> 32), sum(balance & 4294967295), sum(held >> 32), sum(held & 4294967295),
    sum(debt >> 32), sum(debt & 4294967295), sum(earned >> 32), sum(earned & 4294967295),
    sum(spent >> 32), sum(spent & 4294967295), sum(lapsed >> 32), sum(lapsed & 4294967295),
    sum(written_off >> 32), sum(written_off & 4294967295)
from account group by workspace

-- name: entries
select workspace, count(*) from entry group by workspace

-- name: keys
select workspace, count(*) from key group by workspace

-- name: scales
select id, scale from workspace

-- name: marker
select value from config where name = 'copying'

-- name: begin
insert into config (name, value) values ('copying', ?)

-- name: move
update config set value = ? where name = 'copying' and value = ? returning name

-- name: end
delete from config where name = 'copying' and value = ? returning name

-- name: config
select name, value from config where name <> 'copying' order by name

-- name: clear_config
delete from config where name <> 'copying'

-- name: set_config
insert into config (name, value) values (?, ?)
