"""Checks: rules of contracts and marts as predicates over rows, and the result of a check as a value.

Belongs here: what it means that a row breaks a rule, and what every check returns. Does not belong here: which checks a
layer runs on a staged snapshot (silver.audit, gold.audit), or how a result is shown (defs, cli).
"""
