-- Let each later statement of this transaction take %(timeout_ms)s milliseconds at most.
SELECT set_config('statement_timeout', %(timeout_ms)s, true)
