-- Whether this term is the current one. Every routing and sweeping statement asks before it acts.
create or replace function earshot.is_leading(p_term bigint) returns boolean
language sql stable security definer set search_path = earshot, pg_temp
as $$ select exists (select from earshot.leader where term = p_term and expires_at > clock_timestamp()) $$;
