-- Folding: entries are added to the sums that reports are read from.

-- name: lanes
select id, batch, entry, moved_at from lane order by id

-- name: move_lane
update lane set batch = ?, entry = ?, moved_at = ? where id = ?
