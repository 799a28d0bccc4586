-- A text in lower case, without accents. Letters that no accent tells apart become what they are
-- written as where they are missing. The first lower() makes texts that are equal without regard to
-- case equal here, whatever becomes of them next.
CREATE FUNCTION search_folded(value text) RETURNS text
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN CASE
  WHEN octet_length(value) = length(value) THEN lower(value)
  ELSE lower(
    replace(
      replace(
        replace(
          translate(
            regexp_replace(normalize(lower(value), NFKD), '[\u0300-\u036f]', '', 'g'),
            'øłđðþı',
            'olddti'
          ),
          'ß', 'ss'
        ),
        'æ', 'ae'
      ),
      'œ', 'oe'
    )
  )
END;

-- The words of a text, folded: what stands between spaces and punctuation.
CREATE FUNCTION search_words(value text) RETURNS text[]
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN array_remove(
  string_to_array(
    translate(
      search_folded(value),
      E'\t\n\x0b\x0c\r!"#$%&''()*+,-./:;<=>?@[\\]^_`{|}~–—‘’“”•·«»',
      repeat(' ', 47)
    ),
    ' '
  ),
  ''
);

-- What a contact is found by: words, tags, properties and the domain, each told apart by what it
-- begins with. The organization is part of each, so that an index of them is one index for each
-- organization. Long values are cut: whoever compares them looks at the contact as well.
CREATE FUNCTION search_terms(
  org_id text, texts text, phone text, tags text[], properties jsonb, domain_id uuid
) RETURNS tsvector
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN (
  SELECT array_to_tsvector(coalesce(array_agg(org_id || said.term), '{}'))
  FROM (
    SELECT '/w:' || left(word, 60) FROM unnest(search_words(texts || ' ' || phone)) AS word
    UNION ALL
    SELECT '/w:' || left(digits, 60)
    FROM regexp_replace(phone, '[^0-9]', '', 'g') AS digits
    WHERE digits <> ''
    UNION ALL
    SELECT '/t:' || left(search_folded(tag), 60) FROM unnest(tags) AS tag
    UNION ALL
    SELECT '/p:' || key || '=' || left(search_folded(value), 60)
    FROM jsonb_each_text(properties)
    WHERE value IS NOT NULL
    UNION ALL
    SELECT '/d:' || CAST(domain_id AS text) WHERE domain_id IS NOT NULL
  ) AS said (term)
);

-- The query for terms that begin as given and go on with each of these words, or with something that
-- begins with them. Null without words.
CREATE FUNCTION search_query(beginning text, words text[], partial boolean) RETURNS tsquery
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN (
  SELECT CAST(
    string_agg(
      '''' || replace(replace(beginning || left(word, 60), '\', '\\'), '''', '''''') || ''''
        || CASE WHEN partial THEN ':*' ELSE '' END,
      ' & '
    ) AS tsquery
  )
  FROM unnest(words) AS word
);

-- The terms of each contact, at one of its versions. They are made a moment after the contact is
-- written: making and indexing them costs more than writing it does.
CREATE TABLE contact_terms (
  org_id text NOT NULL,
  contact_id uuid NOT NULL,
  version bigint NOT NULL,
  terms tsvector NOT NULL,
  CONSTRAINT contact_terms_pkey PRIMARY KEY (org_id, contact_id)
);
CREATE INDEX contact_terms_terms_idx ON contact_terms USING gin (terms);

-- Contacts that were written since, a row for each statement that wrote some.
CREATE TABLE unindexed_contacts (
  org_id text NOT NULL,
  id uuid NOT NULL DEFAULT gen_random_uuid(),
  contact_ids uuid[] NOT NULL,
  create_time timestamptz NOT NULL DEFAULT now(),
  CONSTRAINT unindexed_contacts_pkey PRIMARY KEY (org_id, id)
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 500);

INSERT INTO unindexed_contacts (org_id, contact_ids)
SELECT c.org_id, array_agg(c.id)
FROM (
  SELECT org_id, id, row_number() OVER (PARTITION BY org_id ORDER BY id) / 500 AS part
  FROM contacts
  WHERE delete_time IS NULL
) AS c
GROUP BY c.org_id, c.part;

-- Orders that had no index.
CREATE INDEX contacts_name_idx
  ON contacts (org_id, (nullif(name, '')), id)
  WHERE delete_time IS NULL;
CREATE INDEX contacts_update_time_idx
  ON contacts (org_id, update_time, id)
  WHERE delete_time IS NULL;

-- What each caller searched for; the digest is of text, filter and order.
CREATE TABLE recent_searches (
  org_id text NOT NULL,
  caller text NOT NULL,
  digest bytea NOT NULL,
  text text NOT NULL,
  filter text NOT NULL,
  order_by text NOT NULL,
  search_count bigint NOT NULL DEFAULT 1,
  search_time timestamptz NOT NULL DEFAULT now(),
  CONSTRAINT recent_searches_pkey PRIMARY KEY (org_id, caller, digest)
);

DO $$
DECLARE
  name text;
BEGIN
  FOREACH name IN ARRAY ARRAY['unindexed_contacts', 'recent_searches']
  LOOP
    EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY', name);
    EXECUTE format(
      'CREATE POLICY organization ON %I USING ('
      '  org_id = current_setting(''crmsync.org_id'', true)'
      '  OR current_setting(''crmsync.org_id'', true) = ''*'')',
      name
    );
  END LOOP;
END
$$;

-- Behind a policy that looks at a row, Postgres uses no index with an operator that might tell of what
-- it compares, such as @@. So reading terms is open: each names its organization, and whoever finds
-- one sees the contact only past the wall of contacts. Writing is not.
ALTER TABLE contact_terms ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY reading ON contact_terms FOR SELECT USING (true);
CREATE POLICY adding ON contact_terms FOR INSERT WITH CHECK (
  org_id = current_setting('crmsync.org_id', true)
  OR current_setting('crmsync.org_id', true) = '*'
);
CREATE POLICY changing ON contact_terms FOR UPDATE USING (
  org_id = current_setting('crmsync.org_id', true)
  OR current_setting('crmsync.org_id', true) = '*'
);
CREATE POLICY removing ON contact_terms FOR DELETE USING (
  org_id = current_setting('crmsync.org_id', true)
  OR current_setting('crmsync.org_id', true) = '*'
);
