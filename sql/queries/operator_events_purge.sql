-- Forgets what people did more than $1 days ago, ten thousand at a time.
delete from sync.operator_event e
where e.operator_event_id in (
    select o.operator_event_id from sync.operator_event o
    where o.happened_on < clock_timestamp() - make_interval(days => $1)
    limit 10000)
