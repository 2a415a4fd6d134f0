"""Run a SELECT: Trino's dialect read and typed, made exact for DuckDB, and run over a lake. No mart, no Dagster."""
