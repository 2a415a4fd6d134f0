"""Traces by OpenTelemetry: from an invocation of capture over its Bronze objects to runs, their steps and commits.

Belongs here: the spans and how they are linked, and sending them. Does not belong here: what an act does between the
beginning and the end of its span. Spans have names of tables and counts, never a value of a row or an error's text.
"""
