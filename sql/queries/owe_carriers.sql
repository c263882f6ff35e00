select * from sync.owe_carriers($1, $2, $3)
