-- Take a locked lead for registering it: nobody else does before the lease is over.
UPDATE leads AS l SET
    registration = 'REGISTERING',
    registration_attempt = l.registration_attempt + 1,
    registration_until = now() + CAST(:lease AS interval),
    update_time = now()
WHERE l.org_id = :org_id AND l.id = :id
RETURNING l.*
