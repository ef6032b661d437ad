-- Kinds for language models and vectors.

-- A mesh may have had kinds of its own by these names: what is built in wins.
insert into earshot.job_kinds (kind, role, priority, required, built_in) values
  ('generate', 'llm_light', 0, '{messages}', true),
  -- Somebody's search waits for it, or a caller.
  ('vectors', 'rag_engine', 20, '{texts}', true)
on conflict (kind) do update set role = excluded.role, priority = excluded.priority, required = excluded.required, built_in = true,
  class = 'batch', max_tries = 3, silence = '10 minutes', payload_schema = null, result_schema = null;
