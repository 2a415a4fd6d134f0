"""Reconciliation: does the lake equal the source?

Belongs here: scanning DynamoDB, fingerprints of rows on both sides, what differs, and Gold computed again from the
source's items. Does not belong here: correcting what differs (repair).
"""
