"""Tests of the room `bronze`."""
