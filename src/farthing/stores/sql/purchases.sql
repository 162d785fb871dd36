-- Orders, receipts and what providers have sent.

-- name: order
select document, version from purchase_order where workspace = ? and provider = ? and id = ?

-- name: orders_by_id
select document, version from purchase_order where workspace = ? and id = ? order by bought_at desc, provider limit 2

-- name: orders_of
select document, version from purchase_order where workspace = ? and account = ? order by bought_at desc, id limit ?

-- name: all_orders
select document, version from purchase_order where workspace = ? and (bought_at, provider, id) < (?, ?, ?)
order by bought_at desc, provider desc, id desc limit ?

-- name: orders_page
select document, version from purchase_order
where workspace = ? and account = ? and (bought_at, provider, id) < (?, ?, ?)
order by bought_at desc, provider desc, id desc limit ?

-- name: unclaimed_orders
select document, version from purchase_order where workspace = ? and account = '' and provider = ?
order by bought_at, id

-- name: add_order
insert into purchase_order (workspace, provider, id, account, offer, state, bought_at, version, document)
values (?, ?, ?, ?, ?, ?, ?, 1, ?)
on conflict (workspace, provider, id) do nothing
returning id

-- name: change_order
update purchase_order set account = ?, offer = ?, state = ?, document = ?, version = version + 1
where workspace = ? and provider = ? and id = ? and version = ?
returning id

-- name: receipt
select document, version from receipt where workspace = ? and provider = ? and payment = ?

-- name: receipts
select document, version from receipt
where workspace = ? and (at, provider, payment) < (?, ?, ?) and (cast(? as text) = '' or account = ?)
    and (cast(? as text) = '' or provider = ?) and (cast(? as text) = '' or state = ?)
order by at desc, provider desc, payment desc limit ?

-- name: receipts_between
select document, version from receipt
where workspace = ? and provider = ? and at >= ? and at < ? and (at, payment) > (?, ?)
order by at, payment limit ?

-- name: receipts_of_order
select document, version from receipt where workspace = ? and provider = ? and purchase_order = ? order by at, payment

-- name: add_receipt
insert into receipt (workspace, provider, payment, purchase_order, account, state, at, version, document)
values (?, ?, ?, ?, ?, ?, ?, 1, ?)
on conflict (workspace, provider, payment) do nothing
returning payment

-- name: change_receipt
update receipt set purchase_order = ?, account = ?, state = ?, document = ?, version = version + 1
where workspace = ? and provider = ? and payment = ? and version = ?
returning payment

-- name: add_event
insert into provider_event (workspace, provider, id, kind, received_at, due_at, times, outcome, body)
values (?, ?, ?, ?, ?, ?, 1, '', ?)
on conflict (workspace, provider, id) do update set times = provider_event.times + 1
returning done_at, times, received_at, outcome

-- name: event_done
update provider_event set done_at = ?, outcome = ? where workspace = ? and provider = ? and id = ?

-- name: event_failed
update provider_event set outcome = ?, due_at = ?
where workspace = ? and provider = ? and id = ? and done_at is null

-- name: open_events
select workspace, provider, id, kind, received_at, done_at, times, outcome, body from provider_event
where done_at is null and due_at <= ? order by due_at limit ?

-- Found by the index of what is open: by that of the names all that ever came would be looked at.
-- name: open_as
select workspace, provider, id, kind, received_at, done_at, times, outcome, body from provider_event
where done_at is null and due_at > 0 and workspace || '' = ? and provider || '' = ? and outcome = ?
order by received_at

-- name: waiting
select count(*) from receipt where state = 'waiting'

-- name: event
select workspace, provider, id, kind, received_at, done_at, times, outcome, body from provider_event
where workspace = ? and provider = ? and id = ?

-- name: events_about
select workspace, provider, id, kind, received_at, done_at, times, outcome, body from provider_event
where workspace = ? and received_at >= ? and received_at < ? and provider = ? and body like ? escape '!'
order by received_at, id limit ?

-- name: grant
select terms, voided, gone from grants where id = ? and workspace = ? and bucket = ?

-- name: grants_made
select terms, voided, gone from grants where workspace = ? and id > ? and id < ? order by id limit ?

-- name: events
select workspace, provider, id, kind, received_at, done_at, times, outcome, body from provider_event
where workspace = ? and (received_at, provider, id) < (?, ?, ?) and (cast(? as text) = '' or provider = ?)
order by received_at desc, provider desc, id desc limit ?

-- name: unmatched_events
select workspace, provider, id, kind, received_at, done_at, times, outcome, body from provider_event
where workspace = ? and (received_at, provider, id) < (?, ?, ?) and (cast(? as text) = '' or provider = ?)
    and (done_at is null or outcome like 'unmatched%')
order by received_at desc, provider desc, id desc limit ?

-- name: add_checkout
insert into checkout (workspace, id, account, created_at) values (?, ?, ?, ?)

-- name: checkout
select account from checkout where workspace = ? and id = ?

-- name: claimed
select account, entry from payment where workspace = ? and provider = ? and object = ?
