"""Constructs: the parts that the Orchestrator stack puts together, one file each."""
