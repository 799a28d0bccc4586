-- Forget the answers and the imports past the time that they are promised for.
WITH requests_gone AS (
    DELETE FROM requests AS r
    WHERE r.create_time < now() - INTERVAL '24 hours'
    RETURNING 1
),

imports_gone AS (
    DELETE FROM imports AS i
    WHERE i.create_time < now() - INTERVAL '24 hours'
    RETURNING 1
)

SELECT (SELECT count(*) FROM requests_gone) + (SELECT count(*) FROM imports_gone)
