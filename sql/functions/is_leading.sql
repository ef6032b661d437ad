-- Whether this term is the current one. Every routing and sweeping statement asks before it acts;
-- plpgsql, since that keeps the plan.
create or replace function earshot.is_leading(p_term bigint) returns boolean
language plpgsql stable security definer set search_path = earshot, pg_temp
as $$
begin
  return exists (select from earshot.leader where term = p_term and expires_at > clock_timestamp());
end $$;
