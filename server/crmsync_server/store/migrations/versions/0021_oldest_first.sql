-- Contacts that are not indexed yet are taken in the order in which they were written, over all
-- organizations, and the newest tells whether more are being written.
CREATE INDEX unindexed_contacts_create_time_idx ON unindexed_contacts (create_time);
