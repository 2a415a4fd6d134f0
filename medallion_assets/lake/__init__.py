"""Lake: Iceberg tables in Glue and S3, or in SQLite and files.

Belongs here: catalog, schemas, reading and writing files, merge, replace, commit, publish, history and maintenance of
one table. Does not belong here: what a table means. This room knows no contract and no mart.
"""
