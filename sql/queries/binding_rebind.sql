-- Binds target $1 to database $2, login $3 and instance $4, and releases it; $5 who.
with before as (
    select b.target, coalesce(b.held_parts, '{}') as parts from sync.binding b where b.target = $1 for update
), rebound as (
    update sync.binding b set
        database = $2, login = $3, instance = $4, bound_on = clock_timestamp(), bound_by = $5,
        held_on = null, held_parts = null
    from before f
    where b.target = f.target
    returning b.target, f.parts
), opened as (
    update sync.target t set held_on = null, updated_by = $5
    from rebound r
    where t.target = r.target
)
insert into sync.binding_event (target, event, parts, done_by)
select target, 'rebound', parts, $5 from rebound
