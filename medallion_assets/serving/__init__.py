"""Serving: read published tables over HTTP.

Belongs here: the HTTP application, what a caller may read and how much, how answers are written, and how old they are.
Does not belong here: what a query may contain (engines), what is captured and published (health), anything that writes
a table of the lake.
"""
