-- The tables whose changes are captured.
select distinct w.table_name::text from sync.watched w order by 1
