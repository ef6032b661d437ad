-- How loud a recording was, for documents without a word, and what was odd about it.
alter table earshot.documents
  add column level_db double precision,
  add column warnings jsonb not null default '[]' check (jsonb_typeof(warnings) = 'array');
comment on column earshot.documents.level_db is 'RMS of the loudest moments, in dB of full scale; null for texts.';
comment on column earshot.documents.warnings is 'What is odd about the recording, a sentence each.';
