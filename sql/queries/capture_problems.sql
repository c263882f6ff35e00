-- Watched tables whose capture is not sound.
select w.table_name::text, w.problem::text from sync.watched w where w.problem is not null order by 1
