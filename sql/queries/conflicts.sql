-- Conflicts, newest first: of target $1, type $2, entity $3, number $4 (null: any), the closed ones too ($5), $6 at most.
select c.conflict_id, c.target, c.entity_type, c.entity_id, c.remote_id, c.reason, c.fields, c.candidates, c.candidate_type,
       c.ems_modified_on, c.remote_modified_on, c.seen_on, c.closed_on, c.closed_by, c.outcome
from sync.conflict c
where ($1::text is null or c.target = $1)
  and ($2::text is null or c.entity_type = $2)
  and ($3::bigint is null or c.entity_id = $3)
  and ($4::bigint is null or c.conflict_id = $4)
  and ($5 or c.closed_on is null)
order by c.conflict_id desc
limit $6
