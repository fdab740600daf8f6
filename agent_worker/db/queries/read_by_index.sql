-- For the rest of this transaction: plans by index even while the statistics are those of a small table, and no JIT,
-- which takes 300 ms to compile what runs for three.
SELECT set_config('enable_seqscan', 'off', true), set_config('jit', 'off', true)
