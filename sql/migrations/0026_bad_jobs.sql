-- Jobs that routing or the sweep cannot read are refused when they are inserted, not later: what is there must still end.
-- The body of this function stands in sql/functions.
create function earshot.refuse_bad_job() returns trigger language plpgsql as $$ begin return new; end $$;

-- Before the triggers stand: what is there already must not stop the sweep.
update earshot.jobs set run_at = created_at where run_at = '-infinity';
update earshot.jobs set run_at = '9999-12-31 00:00:00+00', due = false where run_at = 'infinity';
update earshot.jobs set deadline = null where deadline = 'infinity';
update earshot.jobs set deadline = created_at where deadline = '-infinity';

create trigger refuse_bad_job before insert on earshot.jobs for each row
  when (new.requires <> '{}' or not isfinite(new.run_at) or not isfinite(new.deadline)) execute function earshot.refuse_bad_job();
create trigger refuse_bad_job before insert or update of requires on earshot.job_kinds for each row
  when (new.requires <> '{}') execute function earshot.refuse_bad_job();
