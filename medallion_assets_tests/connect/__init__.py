"""Tests of connecting to tables that exist; the local AWS plays the real one."""
