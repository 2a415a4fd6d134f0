"""Silver to Gold: what a mart is, which days of it a change touches, and its refresh. No Dagster."""
