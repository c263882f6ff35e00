-- A person chose whose remote record $3 (type $2) of target $1 is: $4. It is decided now.
update sync.inbox i set
    chosen = $4, state = 'pending', state_reason = null, last_error = null, attempts = 0, waits_for = null,
    created_on = clock_timestamp(), due_on = clock_timestamp()
where i.target = $1 and i.entity_type = $2 and i.remote_id = $3 and i.state in ('held', 'rejected')
returning i.entity_type, i.inbox_id
