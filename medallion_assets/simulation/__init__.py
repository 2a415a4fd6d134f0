"""A simulator of DynamoDB tables, their Streams and the Lambda event source mapping: no network, no threads, one seed.

Belongs here: the AWS side of a test (`Cloud`), what goes wrong in it (`Faults`), the virtual clock and who runs on it.
Does not belong here: what our pipeline makes of it. docs/simulation.md shows how to use it; each module names the page
of AWS's documentation whose rules it follows.
"""
