-- Samples that no sweep will need.
delete from sync.watermark_sample where sampled_on < clock_timestamp() - $1 * interval '1 second'
