-- Rows $2 of the inbox of target $1 are looked at again after $3 seconds, each time twice as long where that was an attempt ($5);
-- after $6 attempts they are left to a person. $4: why, without anything personal.
update sync.inbox i set
    attempts     = i.attempts + $5::boolean::int,
    state        = case when $5 and i.attempts + 1 >= $6 then 'rejected' else i.state end,
    state_reason = 'failed',
    last_error   = $4,
    decided_on   = case when $5 and i.attempts + 1 >= $6 then clock_timestamp() end,
    due_on       = clock_timestamp() + $3 * interval '1 second' * case when $5 then 2 ^ least(i.attempts, 10) else 1 end
where i.target = $1 and i.inbox_id = any ($2) and i.state in ('pending', 'waiting')
