-- Automatic top-ups: what only PostgreSQL says this way.

-- Whoever brings the account below its threshold from now on waits here, and is then seen by who looks next.
-- name: hold_due
select 1 from job where kind = 'top_up' and workspace = ? and subject = ? and bucket = ? for update
