"""Our own stream poller: it does on any machine what a Lambda event source mapping does on AWS.

Belongs here: reading DynamoDB Streams in order, delivering batches to `write_bronze`, and the checkpoint of what was
delivered. Does not belong here: what a record becomes (envelope, write_bronze).
Run it with `python -m medallion_assets.capture.poller --help`.
"""
