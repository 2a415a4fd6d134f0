"""Tests of live counters."""
