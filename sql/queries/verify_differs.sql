-- Which of entities $3 of type $2 walk $1 found missing or different, and a push could bring home.
select distinct v.entity_id
from sync.verify_row v
where v.run = $1 and v.entity_type = $2 and v.entity_id = any ($3::bigint[]) and v.finding in ('missing', 'different')
  and v.reason <> 'ignored'
