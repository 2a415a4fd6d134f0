"""Contracts: what a source table is, as data.

Belongs here: the model of a contract, its column types, and loading a domain. Does not belong here: decoding values
(silver), checking rows (checks). The only import from another room is capture's rule for table names.
"""
