-- Writes which match keys ($5) leased entities (types $3, ids $4) want; tells owner and holder. See sql/functions/match_keys.sql.
select kind, entity_type, entity_id, owner_id, holder_id, holder_waits from sync.match_keys($1, $2, $3, $4, $5)
