-- What was taken out or taken back at target $1 and is held for a person, $2 at most of each, the undecided first.
(select 'removal' as kind, i.entity_type, i.entity_id, i.remote_id, i.state_reason = 'guard_rejected' as kept, i.created_on as since,
        null::text as loses
 from sync.inbox i
 where i.target = $1 and i.state = 'held' and i.shape = 'removed' and i.state_reason in ('guard', 'guard_rejected')
 order by i.state_reason = 'guard_rejected', i.entity_type, i.inbox_id
 limit $2)
union all
(select 'consent', 'person', h.person_id, null, h.rejected_on is not null, h.held_on, concat_ws(' ', h.subject, h.state)
 from sync.consent_held h
 where h.target = $1
 order by h.rejected_on is not null, h.person_id, h.subject, h.record
 limit $2)
