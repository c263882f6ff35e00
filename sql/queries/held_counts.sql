-- What the guard holds of target $1 for a person: how much of what kind, and of what people have decided already (`kept`).
select h.entity_type, case when h.gone then 'delete' else 'lessen' end as kind, h.kept, count(*) as n
from sync.held_record h
where h.target = $1
group by 1, 2, 3
union all
select h.entity_type, 'removal', h.kept, count(*)
from sync.held_removal h
where h.target = $1
group by 1, 3
union all
select 'person', 'consent', h.kept, count(*)
from sync.held_consent h
where h.target = $1
group by 3
order by 3, 2, 1
