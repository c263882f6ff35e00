-- Each sweep looks at what is out of scope: it may be in scope by now.
create index record_out_of_scope on sync.record (target, entity_type, entity_id)
    where state = 'skipped' and state_reason = 'out_of_scope';
