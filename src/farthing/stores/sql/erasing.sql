-- Erasing: the texts of an account, and what tells who he was.

-- name: account
select 1 from account where workspace = ? and id = ? and bucket = ?

-- name: archived
select number from checkpoint where workspace = ? and account = ? and bucket = ?

-- name: texts
select id, number, description, metadata from entry
where workspace = ? and account = ? and number > ? and (description is not null or metadata is not null)
order by number limit ?

-- name: keep_digests
insert into erased (entry, bucket, workspace, account, description, metadata) values (?, ?, ?, ?, ?, ?)
on conflict (entry, bucket) do nothing

-- name: blank_entry
update entry set description = null, metadata = null where id = ? and bucket = ? returning id

-- Keys lie by themselves, not by their accounts: all of the workspace's are looked at, which takes its time.
-- name: answers
select key, answer from kept_key
where workspace = ? and key > ? and account = ? and bucket = ?
    and (answer like '%"description":%' or answer like '%"metadata":%')
order by key limit ?

-- name: blank_answer
update kept_key set answer = ? where workspace = ? and key = ? and account = ? and bucket = ?

-- name: payments
select provider, object, answer from payment
where workspace = ? and account = ? and (answer like '%"description":%' or answer like '%"metadata":%')

-- name: blank_payment
update payment set answer = ? where workspace = ? and provider = ? and object = ?

-- What was done to his record of a person: it has his name and his address.
-- name: acts
select position, detail from audit
where workspace = ? and subject = ? and action like 'user.%' and position > ? and (
    detail like '%"before":{%' or detail like '%"after":{%'
)
order by position limit ?

-- name: blank_act
update audit set detail = ? where position = ?

-- What providers told of him: with his orders, and in their messages.
-- name: orders
select provider, id, document from purchase_order where workspace = ? and account = ? and document like '%"buyer":%'

-- Who changes an order by what he has read before reads it again.
-- name: blank_order
update purchase_order set document = ?, version = version + 1 where workspace = ? and provider = ? and id = ?
and document = ? returning id

-- name: bought_as
select id from purchase_order where workspace = ? and account = ?
union select payment from receipt where workspace = ? and account = ?
union select id from customer where workspace = ? and account = ?
union select id from checkout where workspace = ? and account = ?

-- What is not done has to be read once more.
-- name: messages
select provider, id, body, done_at is not null from provider_event
where workspace = ? and (provider, id) > (?, ?) order by provider, id limit ?

-- name: blank_message
update provider_event set body = '' where workspace = ? and provider = ? and id = ? and done_at is not null

-- What was answered to who said whose an order is.
-- name: claims
select position, detail from audit
where workspace = ? and action = 'order.claim' and detail like '%"buyer":%'
    and subject in (select id from purchase_order where workspace = ? and account = ?)

-- What was answered to who said which of his cards is charged.
-- name: cards
select position, detail from audit
where workspace = ? and subject = ? and action in ('payment_method.prefer', 'payment_method.forget')
    and detail like '%"last4":%'

-- What was said of attempts to charge him.
-- name: top_ups
select id, document from top_up
where workspace = ? and account = ? and (document like '%"message":%' or document like '%"url":%')

-- name: blank_top_up
update top_up set document = ? where workspace = ? and id = ? and bucket = ? and document = ?

-- name: told
select id, data from event
where workspace = ? and type in ('auto_top_up.done', 'auto_top_up.failed', 'auto_top_up.paused') and account = ?
    and (data like '%"message":"%' or data like '%"url":"%')

-- name: blank_told
update event set data = ? where workspace = ? and id = ? and bucket = ?

-- name: billings
select key, document from billing
where workspace = ? and account = ? and (document like '%"message":%' or document like '%"url":%')

-- name: blank_billing
update billing set document = ?, version = version + 1 where workspace = ? and key = ? and document = ? returning key

-- name: top_up_standing
select document from auto_top_up where workspace = ? and account = ? and bucket = ? and document like '%"url":%'

-- name: blank_standing
update auto_top_up set document = ? where workspace = ? and account = ? and bucket = ? and document = ?
