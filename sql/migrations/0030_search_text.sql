-- One normal form of words, for what is searched and for the query. A change of it needs a new migration that
-- makes the column chunks.fts again, so that these functions stand here and not in sql/functions.

-- A text without differences that a search must not see: composed or not, accents, case, ß and ss.
-- Scripts without spaces, and Korean with its particles, become letters and pairs of neighbouring letters.
-- Of a query only the pairs are kept, and a letter that stands alone.
create function earshot.search_text(p_text text, p_query boolean) returns text
language plpgsql immutable strict parallel safe set search_path = earshot, pg_temp
as $$
declare
  c_wide constant text := '[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3005-\u3007\u3040-\u30ff\u3400-\u9fff\uac00-\ud7a3\uf900-\ufaff]';
  v_text text;
begin
  -- All of it ASCII: the same result in a tenth of the time.
  if octet_length(p_text) = length(p_text) then
    return lower(p_text);
  end if;
  v_text := normalize(p_text, NFKD);
  -- NFC brings back what is one letter in its script (Hangul, kana with a voiced mark).
  v_text := normalize(regexp_replace(v_text, '[\u0300-\u036f\u0591-\u05bd\u064b-\u065f]', '', 'g'), NFC);
  v_text := replace(replace(replace(replace(v_text, 'ß', 'ss'), 'ẞ', 'ss'), 'æ', 'ae'), 'Æ', 'ae');
  v_text := replace(replace(replace(replace(v_text, 'œ', 'oe'), 'Œ', 'oe'), 'þ', 'th'), 'Þ', 'th');
  -- lower() folds ASCII alone where the database has the locale C.
  v_text := lower(translate(v_text,
    'łŁøØđĐðÐıςΑΒΓΔΕΖΗΘΙΚΛΜΝΞΟΠΡΣΤΥΦΧΨΩАБВГДЕЖЗИЙКЛМНОПРСТУФХЦЧШЩЪЫЬЭЮЯ',
    'llooddddiσαβγδεζηθικλμνξοπρστυφχψωабвгдежзийклмнопрстуфхцчшщъыьэюя'));
  if v_text !~ c_wide then
    return v_text;
  end if;
  return (
    select string_agg(case
        when not x.wide then x.letter
        when x.next_wide then case when p_query then '' else ' ' || x.letter end || ' ' || x.letter || x.next || ' '
        when p_query and x.wide_before then ' '
        else ' ' || x.letter || ' '
      end, '' order by x.place)
    from (
      select l.letter, l.place, l.letter ~ c_wide as wide, lead(l.letter) over w as next,
        coalesce(lead(l.letter) over w ~ c_wide, false) as next_wide, coalesce(lag(l.letter) over w ~ c_wide, false) as wide_before
      from string_to_table(v_text, null) with ordinality l (letter, place)
      window w as (order by l.place)
    ) x);
end $$;

-- Words as they are and English stems, so that both an exact name and another form of a word are found.
create function earshot.search_words(p_text text) returns tsvector
language sql immutable strict parallel safe set search_path = earshot, pg_temp
as $$
  select to_tsvector('pg_catalog.simple', t.folded) || to_tsvector('pg_catalog.english', t.folded)
  from (select earshot.search_text(p_text, false) as folded offset 0) t
$$;

-- Every chunk is indexed again here. A coordinator of the version before works on: its queries find what is not folded.
-- Its rows are written again, so that all its indexes are made again, that of the vectors in memory.
set local maintenance_work_mem = '512MB';
alter table earshot.chunks
  drop column fts,
  add column fts tsvector not null generated always as (earshot.search_words(text)) stored;
comment on column earshot.chunks.fts is 'What search_words makes of the text.';
create index chunks_fts on earshot.chunks using gin (fts);
