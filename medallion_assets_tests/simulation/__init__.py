"""Tests of the simulator: each rule of AWS with its source, also against the emulator where that is right."""
