-- What was taken out or taken back at target $1 and is held for a person, $2 at most of each, the undecided first.
(select 'removal' as kind, h.entity_type, h.entity_id, h.remote_id, h.kept, h.created_on as since, '{}'::text[] as loses
 from sync.held_removal h
 where h.target = $1
 order by h.kept, h.entity_type, h.inbox_id
 limit $2)
union all
(select 'consent', 'person', h.person_id, null, h.kept, h.held_on, array[concat_ws(' ', h.subject, h.state)]
 from sync.held_consent h
 where h.target = $1
 order by h.kept, h.person_id, h.subject, h.record
 limit $2)
