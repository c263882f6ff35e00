-- A sample for the watermark of later sweeps.
insert into sync.watermark_sample (sampled_on, horizon)
values (clock_timestamp(), pg_snapshot_xmax(pg_current_snapshot()))
on conflict do nothing
