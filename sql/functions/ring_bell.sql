-- Tells the coordinators that there is work. A hint only: the rows are the record. Every function that makes a job pending
-- calls it, once a statement; the server merges equal notifications of one transaction.
create or replace function earshot.ring_bell() returns void
language sql security definer set search_path = earshot, pg_temp
as $$ select pg_notify('earshot', 'jobs') $$;
