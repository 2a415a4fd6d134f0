"""DynamoDB tables that exist, before the pipeline runs on them: what the caller may do, keys, streams.

Belongs here: reading what is there, and what to do about it. Does not belong here: any write to AWS, running the
pipeline (`local`), what is shown (`cli`).
"""
