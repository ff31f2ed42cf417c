"""
PostgreSQL: the only store. SQL stands in the `.sql` file beside each module.

`database` connects and repeats transactions, `embedded` runs the private server, `migrate` brings the schema up to
date; `pages` and `bars` are the hot path, the others hold one family of tables each.
"""
