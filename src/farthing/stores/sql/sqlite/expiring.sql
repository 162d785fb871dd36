-- Which of what is told once was told.

-- name: told
select once from event where workspace = ? and once in (select value from json_each(?)) and once is not null
