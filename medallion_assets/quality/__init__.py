"""Quality: rules from contracts and marts, as row predicates, as audits of staged snapshots, and their results.

Does not belong here: what happens to a row or a batch that fails (silver, gold), or how a result is shown (defs).
"""
