-- Indexes for what reads and moves jobs that ended. Without them that cost grew with the archive.

create index jobs_archive_archived on earshot.jobs_archive (archived_at);

-- The newest jobs of a status, of one kind or of all: GET /v1/jobs.
create index jobs_waiting on earshot.jobs (id) where status = 'pending';
create index jobs_waiting_kind on earshot.jobs (kind, id) where status = 'pending';
create index jobs_ended on earshot.jobs (status, id) where status in ('completed', 'failed', 'cancelled');
create index jobs_ended_kind on earshot.jobs (kind, status, id) where status in ('completed', 'failed', 'cancelled');
create index jobs_archive_ended on earshot.jobs_archive (status, id);
create index jobs_archive_kind on earshot.jobs_archive (kind, status, id);
