-- What the server says about itself, and its clock. Index: none, no table is read.
SELECT current_setting('server_version'), current_user::text, clock_timestamp()
