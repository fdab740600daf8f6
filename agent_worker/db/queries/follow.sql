-- Have changes of tasks announced for as long as this session lasts; see announce() in the migrations.
SELECT set_config('lock_timeout', '2s', false), pg_advisory_lock_shared(1635214897, 0)
