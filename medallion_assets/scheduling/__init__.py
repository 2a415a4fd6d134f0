"""What to run next: which tables have news, what follows from it, and how what failed is tried again. No Dagster."""
