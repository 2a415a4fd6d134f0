"""Tests of the gold room."""
