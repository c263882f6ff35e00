-- Owes $1 (target) the entities of type $2 with ids $3. See sql/functions/owe.sql.
select sync.owe($1, $2, $3, $4, $5, $6, $7, $8)
