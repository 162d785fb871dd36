-- What a simulation starts from: accounts in the order of their ids, with all that time acts on. A page's reads name
-- its first and last account.

-- name: accounts
select workspace, id, bucket, number, balance, held, debt, earned, spent, lapsed, written_off, at, head, holds, lapse_at,
    hold_due_at, grants, settings, spending
from account where workspace = ? and id >= ? and id <= ? order by id limit ?

-- name: subscriptions
select account, retry_at, terms from subscription where workspace = ? and account >= ? and account <= ? and ended_at is null

-- name: holds
select terms from hold where workspace = ? and account >= ? and account <= ? and state = 'live' and expires_at <= ?

-- name: owing
select terms from charge where workspace = ? and account >= ? and account <= ? and debt > 0 order by account, id
