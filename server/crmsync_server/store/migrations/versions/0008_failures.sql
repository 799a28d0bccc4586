-- Failures by when they failed, which is when they last changed. They are few, and a delivery that
-- does not fail adds nothing here.
CREATE INDEX contact_syncs_failed_idx
  ON contact_syncs (org_id, crm, update_time, contact_id)
  WHERE sync_status = 'ERROR'
  OR (sync_status = 'QUEUED' AND error_code = 'CREDENTIALS_REFUSED');

-- Those that go on by themselves with new credentials, to be counted: a batch or two of each lane
-- that waits. Those in ERROR are counted as they come and go.
CREATE INDEX contact_syncs_refused_idx
  ON contact_syncs (org_id, crm)
  WHERE sync_status = 'QUEUED' AND error_code = 'CREDENTIALS_REFUSED';
