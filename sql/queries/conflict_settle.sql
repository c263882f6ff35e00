-- A person has decided about what the EMS did not take or nobody was known for: the row of target $1 (type $2, remote id $3) is done.
update sync.inbox i set
    state = 'done', state_reason = $4, last_error = null, decided_on = clock_timestamp(), body = null, extra = null, parents = '[]'
where i.target = $1 and i.entity_type = $2 and i.remote_id = $3 and i.state in ('held', 'rejected')
