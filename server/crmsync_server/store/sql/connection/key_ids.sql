-- The ids of the keys that anything is encrypted under, of any organization.
SELECT c.key_id FROM connections AS c
UNION
SELECT t.key_id FROM connection_tokens AS t WHERE t.key_id IS NOT NULL
