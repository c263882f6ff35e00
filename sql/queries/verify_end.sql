-- Takes away what walk $1 wrote.
delete from sync.verify_row where run = $1
