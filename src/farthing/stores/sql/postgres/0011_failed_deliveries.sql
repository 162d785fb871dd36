-- What became of tries to deliver an event, where that is what is asked for. Most are delivered, and cost nothing here:
-- those are found among all of their endpoint.
create index delivery_failed on delivery (workspace, endpoint, outcome, at, event) where outcome <> 'delivered';
