"""Silver: the changes in Bronze become one exact, typed row per key.

Belongs here: decoding by contract, the latest change of a key, quarantine, enrichment, the audit, and the act that
stages, audits and publishes a batch. Does not belong here: how Iceberg commits (lake), when to run (defs).
"""
