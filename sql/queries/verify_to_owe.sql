-- Entities of type $2 after id $3, $4 of them, that walk $1 found missing or different, and a push could bring home.
select distinct v.entity_id
from sync.verify_row v
where v.run = $1 and v.entity_type = $2 and v.entity_id > $3 and v.finding in ('missing', 'different')
  and v.reason <> 'ignored'
order by v.entity_id
limit $4
