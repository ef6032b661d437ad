-- A title as a job's payload may carry it: up to 1,000 UTF-16 units, of which no character takes
-- more than it has UTF-8 bytes. Of a longer one the end is kept: of a path, that is the file's
-- name.
create or replace function earshot.job_title(p_title text) returns text
language sql immutable set search_path = earshot, pg_temp
as $$ select case when octet_length(p_title) <= 1000 then p_title else '…' || right(p_title, 499) end $$;
