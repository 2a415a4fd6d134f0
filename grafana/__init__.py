"""Dashboards and alerts as code, made from the marts and contracts of a domain.

Belongs here: what Grafana shows and when it calls somebody. Does not belong here: numbers that are not in the lake.
"""
