-- The people of a workspace.

-- name: user
select workspace, id, username, email, role, verified, password, created_at, updated_at
from users where workspace = ? and id = ?

-- name: user_by_email
select workspace, id, username, email, role, verified, password, created_at, updated_at
from users where workspace = ? and email_key = ? and email_key <> ''

-- name: user_by_username
select workspace, id, username, email, role, verified, password, created_at, updated_at
from users where workspace = ? and username_key = ? and username_key <> ''

-- name: insert_user
insert into users (
    workspace, id, username, username_key, email, email_key, role, verified, password, created_at, updated_at
)
values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
on conflict do nothing
returning id

-- name: follow_token
update users set username = ?, username_key = ?, email = ?, email_key = ?, role = ?, verified = ?, updated_at = ?
where workspace = ? and id = ?

-- Names and addresses that came with tokens are found by whoever was given them last. Who signs in here keeps his own:
-- he signs in by them.
-- name: release_username
update users set username_key = '', updated_at = ?
where workspace = ? and username_key = ? and id <> ? and password = ''

-- name: release_email
update users set email_key = '', updated_at = ? where workspace = ? and email_key = ? and id <> ? and password = ''

-- Who registered himself, and never showed that the address is his, does not keep it from whoever has it.
-- name: release_unverified
update users set username_key = '', email_key = '', updated_at = ?
where workspace = ? and (username_key = ? or email_key = ?) and verified = 0 and created_at < ?

-- name: change_names
update users set username = ?, username_key = ?, email = ?, email_key = ?, verified = ?, updated_at = ?
where workspace = ? and id = ?

-- name: set_role
update users set role = ?, updated_at = ? where workspace = ? and id = ?

-- name: set_verified
update users set verified = 1, updated_at = ? where workspace = ? and id = ?

-- name: set_password
update users set password = ?, updated_at = ? where workspace = ? and id = ?

-- name: change_password
update users set password = ?, updated_at = ? where workspace = ? and id = ? and password = ? returning id

-- name: hash_again
update users set password = ? where workspace = ? and id = ? and password = ?

-- name: delete_user
delete from users where workspace = ? and id = ?

-- name: users_page
select workspace, id, username, email, role, verified, password, created_at, updated_at
from users where workspace = ? and (created_at, id) > (?, ?) order by created_at, id limit ?

-- name: raise_people_version
update config set value = cast(cast(value as integer) + 1 as text) where name = 'people'
