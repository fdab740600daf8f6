-- The time by the only clock that counts.
SELECT now()
