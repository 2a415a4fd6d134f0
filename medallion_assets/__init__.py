"""Trustworthy, near-real-time analytics on DynamoDB: streams to exact Iceberg tables and audited marts."""
