-- Writes remote ids ($4) of entities that exist at target $1 only within others. See sql/functions/match_keys.sql.
select sync.carry($1, $2, $3, $4)
