"""The planner: which tables and marts the next run takes, and when a failed one is tried again. It knows no Dagster."""
