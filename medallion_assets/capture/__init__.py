"""Capture: a change in DynamoDB becomes a row of an immutable Bronze object.

Belongs here: the Bronze row and its Parquet file, the names of Bronze objects, the store they are put in, the position
of a reader among them, and what feeds them (Lambda handler, stream poller). Does not belong here: what a value means;
nothing in this room looks inside an image. The Lambda path imports no dagster, pyiceberg, duckdb, pyarrow or pydantic.
"""
