-- The channels this session hears, as a health check of a listener.
SELECT coalesce(array_agg(channel), '{}') FROM pg_listening_channels() AS channel
