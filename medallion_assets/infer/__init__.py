"""A contract proposed from the items of a table: sample, look, propose, write.

Belongs here: what a new user has before the first contract. Does not belong here: what a contract means (contracts).
"""
