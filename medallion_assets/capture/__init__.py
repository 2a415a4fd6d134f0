"""Capture: a change in DynamoDB becomes a row of an immutable Bronze object.

Belongs here: the Bronze row and its Parquet file, the names of Bronze objects, the store that holds them, the position
of a reader among them, and the two sources of rows (Lambda handler, stream poller). Does not belong here: the meaning
of a value; nothing here reads the inside of an image. Imports no dagster, pyiceberg, duckdb, pyarrow or pydantic.
"""
