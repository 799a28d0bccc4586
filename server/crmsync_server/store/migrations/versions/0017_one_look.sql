-- The wall between organizations, looked up once for a statement. Postgres calls current_setting
-- twice for each row that it reads or writes; inside a SELECT, once before the first row.
DO $$
DECLARE
  wall record;
  bare constant text := 'current_setting(''crmsync.org_id'', true)';
  own constant text := format('org_id = (SELECT %s) OR (SELECT %s) = ''*''', bare, bare);
BEGIN
  FOR wall IN
    SELECT tablename, policyname, cmd
    FROM pg_policies
    WHERE schemaname = current_schema()
      AND coalesce(qual, with_check) LIKE '%crmsync.org_id%'
  LOOP
    EXECUTE format(
      'ALTER POLICY %I ON %I %s (%s)',
      wall.policyname,
      wall.tablename,
      CASE wall.cmd WHEN 'INSERT' THEN 'WITH CHECK' ELSE 'USING' END,
      own
    );
  END LOOP;
END
$$;
