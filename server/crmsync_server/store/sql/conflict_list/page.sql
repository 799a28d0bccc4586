-- A page of conflicts, newest first (ids are UUIDv7, so their order is that of finding). What it is
-- narrowed by is written into it, so that each filter has a plan of its own, by its own index.
SELECT f.* FROM conflicts AS f
WHERE f.org_id = :org_id
    AND f.id < :before_id
    AND TRUE /* narrowed */
ORDER BY f.id DESC
LIMIT :size
