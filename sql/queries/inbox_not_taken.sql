-- What came back and is not taken in, of which there is no open conflict, newest first: of target $1, type $2, entity $3 (null: any),
-- $4 at most. Whose it is our records say, not what the remote carries.
select i.target, i.entity_type, r.entity_id, i.remote_id, i.state_reason, i.last_error, i.created_on
from sync.inbox i
cross join lateral (
    select min(k.entity_id) as entity_id
    from sync.record k
    where k.target = i.target and k.entity_type = i.entity_type and k.remote_id = i.remote_id
) r
where i.state = 'rejected'
  and ($1::text is null or i.target = $1)
  and ($2::text is null or i.entity_type = $2)
  and ($3::bigint is null or r.entity_id = $3)
  and not exists (
      select from sync.conflict c
      where c.target = i.target and c.entity_type = i.entity_type and c.remote_id = i.remote_id and c.closed_on is null)
order by i.inbox_id desc
limit $4
