"""Ops: the tables `ops.*`, which hold data about the pipeline itself.

Belongs here: the registry of these tables, and the one writer that appends to them. Does not belong here: where their
rows come from (ledger, health, reconciliation, repair).
"""
