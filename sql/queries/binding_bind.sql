-- Binds target $1, which is not bound yet, to database $2, login $3 and instance $4; $5 who. Nobody's binding is replaced.
with bound as (
    update sync.binding b set
        database = $2, login = $3, instance = $4, bound_on = clock_timestamp(), bound_by = $5
    where b.target = $1 and b.database is null and b.held_on is null
    returning b.target
)
insert into sync.binding_event (target, event, done_by)
select target, 'bound', $5 from bound
