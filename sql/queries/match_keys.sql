select * from sync.match_keys($1, $2, $3, $4, $5)
