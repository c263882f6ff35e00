-- What the guard holds at target $1, $2 of each type at most, the undecided first: the entity is gone (a delete), or what its
-- remote record would lose, by the names of its fields and consents.
select case when h.gone then 'delete' else 'lessen' end as kind, h.entity_type, h.entity_id, h.remote_id, h.kept, h.owed_on as since,
       h.loses
from (
    select h.*, row_number() over (partition by h.entity_type order by h.kept, h.entity_id) as place
    from sync.held_now($1) h
) h
where h.place <= $2
order by h.kept, h.entity_id
