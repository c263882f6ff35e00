-- Takes row $2 out of the inbox of target $1, of which the remote knows nothing any more, unless it is the record of an entity that the
-- EMS has. Should it be there after all, the next walk shows it.
delete from sync.inbox i
where i.target = $1 and i.inbox_id = $2 and i.state in ('pending', 'waiting')
  and not exists (
      select from sync.record r
      where r.target = i.target and r.entity_type = i.entity_type and r.remote_id = i.remote_id and r.tombstoned_on is null)
