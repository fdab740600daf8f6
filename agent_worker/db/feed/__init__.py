"""What was committed, in the order of the commits: read from PostgreSQL's log, or told by triggers where there is none.

`feed` keeps one of three sources going (`stream`, `poll`, `triggers`), each of which gives `pgoutput.RowChange`s.
`tables` knows what a table looks like and who may read which of its columns, `values` makes JSON of PostgreSQL's text,
`comparing` asks PostgreSQL what Python cannot compare as it does, and `visibility` asks row level security.
"""
