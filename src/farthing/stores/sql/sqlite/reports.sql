-- Reading for people: what only SQLite says this way.

-- name: weaknesses
select 'journal_mode is ' || journal_mode || ', not wal' from pragma_journal_mode where lower(journal_mode) <> 'wal'
union all
select 'synchronous is ' || synchronous || ', not 2 (full)' from pragma_synchronous where synchronous < 2
