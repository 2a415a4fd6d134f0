"""Iceberg tables as such: catalog, schema, merge, commit, publish, history. Knows no contract and no mart."""
