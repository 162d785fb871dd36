-- Prices: versions of rate cards, and of what models cost.

-- name: insert_card
insert into rate_card (workspace, card, version, effective_from, document, hash, created_at, actor, reason)
values (?, ?, ?, ?, ?, ?, ?, ?, ?)

-- name: last_version
select coalesce(max(version), 0) from rate_card where workspace = ? and card = ?

-- The version with the latest beginning: a new one has to begin after it.
-- name: last_beginning
select version, effective_from from rate_card
where workspace = ? and card = ? and withdrawn_at is null order by effective_from desc, version desc limit 1

-- name: withdraw_card
update rate_card set withdrawn_at = ? where workspace = ? and card = ? and version = ?

-- name: card_versions
select workspace, card, version, effective_from, hash, created_at, actor, reason, withdrawn_at
from rate_card where workspace = ? and card = ? and version < ? order by version desc limit ?

-- name: card_version
select workspace, card, version, effective_from, hash, created_at, actor, reason, withdrawn_at, document
from rate_card where workspace = ? and card = ? and version = ?

-- name: card_at
select workspace, card, version, effective_from, hash, created_at, actor, reason, withdrawn_at, document
from rate_card where workspace = ? and card = ? and withdrawn_at is null and effective_from <= ?
order by effective_from desc, version desc limit 1

-- name: cards
select c.card, c.versions,
    (select r.version from rate_card r
    where r.workspace = ? and r.card = c.card and r.withdrawn_at is null and r.effective_from <= ?
    order by r.effective_from desc, r.version desc limit 1),
    (select min(r.effective_from) from rate_card r
    where r.workspace = ? and r.card = c.card and r.withdrawn_at is null and r.effective_from > ?)
from (select card, count(*) as versions from rate_card where workspace = ? group by card) c order by c.card

-- In force at that instant, or later.
-- name: timeline
select workspace, card, version, effective_from, hash, created_at, actor, reason, withdrawn_at, document
from rate_card r where workspace = ? and withdrawn_at is null and (effective_from > ? or version = (
    select i.version from rate_card i
    where i.workspace = r.workspace and i.card = r.card and i.withdrawn_at is null and i.effective_from <= ?
    order by i.effective_from desc, i.version desc limit 1
)) order by card, effective_from, version

-- A version is added only where the last one is still the one that was seen.
-- name: insert_price
insert into model_price (
    provider, model, version, effective_from, status, document, source, source_version, reason, actor, created_at
)
select ?, ?, cast(? as bigint) + 1, ?, ?, ?, ?, ?, ?, ?, ?
where (select coalesce(max(version), 0) from model_price where provider = ? and model = ?) = ?
returning version

-- name: price
select provider, model, version, effective_from, status, source, source_version, reason, actor, created_at, document
from model_price where provider = ? and model = ? and version = ?

-- name: activate_price
update model_price set status = 'active', effective_from = ?, reason = ?, actor = ?
where provider = ? and model = ? and version = ? and status = 'quarantined'

-- name: refuse_price
update model_price set status = 'refused', reason = ?, actor = ?
where provider = ? and model = ? and version = ? and status = 'quarantined'

-- name: withdraw_price
update model_price set status = 'withdrawn', reason = ?, actor = ?
where provider = ? and model = ? and version = ? and status = 'active' and effective_from >= ?
returning version

-- name: prices_of
select provider, model, version, effective_from, status, source, source_version, reason, actor, created_at, document
from model_price where provider = ? and model = ? and version < ? order by version desc limit ?

-- name: with_status
select provider, model, version, effective_from, status, source, source_version, reason, actor, created_at, document
from model_price where status = ? and (provider, model, version) > (?, ?, ?) order by provider, model, version limit ?

-- Of every model what is in force at that instant, or later.
-- name: catalogue
select provider, model, version, effective_from, status, source, source_version, reason, actor, created_at, document
from model_price p
where status = 'active' and (provider, model, version) > (?, ?, ?) and (effective_from > ? or version = (
    select i.version from model_price i
    where i.provider = p.provider and i.model = p.model and i.status = 'active' and i.effective_from <= ?
    order by i.effective_from desc, i.version desc limit 1
)) order by provider, model, version limit ?

-- name: price_at
select provider, model, version, effective_from, status, source, source_version, reason, actor, created_at, document
from model_price where provider = ? and model = ? and status = 'active' and effective_from <= ?
order by effective_from desc, version desc limit 1

-- name: last_versions
select provider, model, max(version) from model_price
where (provider, model) > (?, ?) group by provider, model order by provider, model limit ?

-- name: search
select provider, model, version, effective_from, status, source, source_version, reason, actor, created_at, document
from model_price p
where (provider, model) > (?, ?) and (provider = ? or ? = '') and lower(provider || '/' || model) like ? escape '!'
    and status = 'active' and version = (
        select i.version from model_price i
        where i.provider = p.provider and i.model = p.model and i.status = 'active' and i.effective_from <= ?
        order by i.effective_from desc, i.version desc limit 1
    )
order by provider, model limit ?

-- name: catalogue_version
select cast(value as bigint) from config where name = 'catalogue_version'

-- name: raise_catalogue_version
insert into config (name, value) values ('catalogue_version', '1')
on conflict (name) do update set value = cast(cast(config.value as bigint) + 1 as text)
