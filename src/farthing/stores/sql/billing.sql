-- Charges without the buyer.

-- name: begin
insert into billing (workspace, key, account, provider, comes_as, state, asked_at, version, document)
values (?, ?, ?, ?, ?, ?, ?, 1, ?)
on conflict (workspace, key) do nothing
returning key

-- name: get
select document, version from billing where workspace = ? and key = ?

-- name: coming
select document, version from billing where workspace = ? and provider = ? and comes_as = ?

-- name: of
select document, version from billing where workspace = ? and account = ? order by asked_at desc limit ?

-- name: unknown
select document, version from billing where workspace = ? and state = 'asked' order by asked_at, key limit ?

-- name: change
update billing set account = ?, provider = ?, comes_as = ?, state = ?, asked_at = ?, document = ?, version = version + 1
where workspace = ? and key = ? and version = ?
returning key
