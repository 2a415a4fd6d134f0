"""Mending what reconciliation finds: amendments through Bronze and the normal merge, each with a row that says why."""
