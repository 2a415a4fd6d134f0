"""Live counters: counts and sums of a table's items, right within a second of a write, from the table's stream.

Belongs here: what a counter is, what an item adds to it, the step that applies changes exactly once, and its two
stores. Does not belong here: Bronze (capture), and who reads counters over HTTP. `apply` and what it imports are in the
path of a Lambda function, and import nothing heavy.
"""
