-- Whose tokens workspaces take.

-- name: issuers
select id, workspace, name, algorithm, issuer, audience, jwks_url, secret, claims, created_at
from token_issuer order by created_at, id

-- name: issuers_of
select id, workspace, name, algorithm, issuer, audience, jwks_url, secret, claims, created_at
from token_issuer where workspace = ? order by created_at, id

-- name: issuer_by_mark
select id, workspace from token_issuer where mark = ?

-- name: insert_issuer
insert into token_issuer (
    id, workspace, name, algorithm, issuer, audience, jwks_url, secret, claims, mark, created_at
)
values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)

-- name: delete_issuer
delete from token_issuer where workspace = ? and id = ? returning name
