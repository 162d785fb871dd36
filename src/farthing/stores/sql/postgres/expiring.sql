-- Which of what is told once was told.

-- name: told
select once from event where workspace = ? and once = any(cast(? as text[])) and once is not null
