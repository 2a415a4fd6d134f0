"""Silver: the changes in Bronze become one exact, typed row per key.

Belongs here: decoding by contract, latest wins, quarantine, enrichment, and the act that stages, audits and publishes a
batch. Does not belong here: how Iceberg commits (lake), what a check says (quality), when to run (defs).
"""
