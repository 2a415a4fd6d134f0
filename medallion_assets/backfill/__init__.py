"""Backfill: the items that a table had before its stream was captured come into Bronze, while the stream goes on.

Belongs here: reading a snapshot (an export's files), its order among the changes of the stream, and the record of a
run. Does not belong here: merging (silver), and rows that differ although their changes were captured (repair).
"""
