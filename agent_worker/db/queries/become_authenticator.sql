-- Give up a superuser's rights for the rest of the session, so that no request can ask for a role beyond those that
-- authenticator may become. Without that role, or without the right to become it, nothing changes. Locks: none.
DO $$
BEGIN
  IF current_setting('is_superuser') = 'on' AND EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = 'authenticator') THEN
    SET SESSION AUTHORIZATION authenticator;
  END IF;
END
$$
