-- What people ordered and decided, in one shape, and what the breaker and the guard did by themselves (`by` says which).
create or replace view sync.audit as
select e.happened_on, e.target, e.event, e.reason as detail, e.by
from sync.target_event e
union all
select b.happened_on, b.target, 'binding_' || b.event, nullif(array_to_string(b.parts, ', '), ''), b.done_by
from sync.binding_event b
union all
select d.decided_on, d.target, 'guard_' || d.decision,
       case when d.by_type = '{}' then d.deletes::text
            else (select string_agg(t.value || ' ' || t.key, ', ' order by t.key) from jsonb_each_text(d.by_type) as t (key, value)) end,
       d.decided_by
from sync.guard_decision d
union all
select o.happened_on, o.target, o.event, concat_ws(' ', '#' || o.number, o.entity_type, o.entity_id, o.detail), o.by
from sync.operator_event o;
comment on view sync.audit is 'Orders and decisions of people, and what the breaker and the guard did by themselves.';
