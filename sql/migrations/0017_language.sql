-- What is spoken in a recording may be said when it is taken in.

-- Takes the language now, which create or replace cannot add.
drop function if exists earshot.submit_document(text, bigint, text, text, text, text, jsonb, text, text, text);
