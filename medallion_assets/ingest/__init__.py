"""Ingest: writes to the source tables that their contracts allow, from an API and from a queue.

Belongs here: the check of one item, the requests of the API, the queue's messages, and who may do what. Does not belong
here: what is deployed (infra), and everything after the write, which the table's stream brings (capture).
"""
