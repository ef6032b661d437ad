-- What the payload of a built-in kind requires of a node's tags, beside what the job itself says:
-- the model that it names (model:NAME), the language to be heard (hears), and that it can be
-- translated. Anyone who translates English has nothing to do. plpgsql keeps its plan.
create or replace function earshot.implied_requirements(p_kind text, p_payload jsonb) returns jsonb
language plpgsql immutable set search_path = earshot, pg_temp
as $$
declare
  v_needs jsonb := '{}';
begin
  if p_payload ->> 'model' <> '' then
    v_needs := jsonb_build_object('model:' || (p_payload ->> 'model'), true);
  end if;
  if p_kind = 'transcribe' and p_payload ->> 'language' ~ '^[a-z]{2,3}$' then
    v_needs := v_needs || jsonb_build_object('languages', '*,' || (p_payload ->> 'language') || ',*');
  end if;
  if p_kind = 'transcribe' and p_payload ->> 'translate' = 'true' and p_payload ->> 'language' is distinct from 'en' then
    v_needs := v_needs || '{"translates": true}';
  end if;
  return v_needs;
end $$;
