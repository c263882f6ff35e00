-- Owes target $1 the records that carry these entities. See sql/functions/match_keys.sql.
select entity_type, entity_id from sync.owe_carriers($1, $2, $3)
