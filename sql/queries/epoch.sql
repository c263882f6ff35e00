-- How far this database has come.
select e.epoch from sync.epoch e
