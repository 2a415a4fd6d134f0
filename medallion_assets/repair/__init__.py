"""Repair: correct what reconciliation finds, by amendments that go through Bronze and the normal merge.

Belongs here: amendments, their order, and the rows of `ops.repairs` that say why. Does not belong here: finding
differences (reconciliation), merging (silver).
"""
