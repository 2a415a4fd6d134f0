"""Our own stream poller: what a Lambda event source mapping does, on any machine.

Belongs here: reading DynamoDB Streams in order, delivering batches to `process`, and remembering what was delivered.
Does not belong here: what a record becomes (envelope, process).
Run it with `python -m medallion_assets.capture.poller --help`.
"""
