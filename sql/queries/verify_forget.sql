-- Takes away what walks left behind that died.
delete from sync.verify_row where seen_on < clock_timestamp() - interval '1 day'
