"""Tests of the projects that `medallion init` writes."""
