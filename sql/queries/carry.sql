select sync.carry($1, $2, $3, $4)
