"""Silver to Gold: what a mart is and reads, which days or keys of it a change touches, its refresh. No Dagster."""
