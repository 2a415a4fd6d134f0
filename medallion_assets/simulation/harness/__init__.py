"""Histories: the pipeline's own code on the simulation, played from one seed with faults, shrunk when it fails.

Belongs here: what a history is, playing it, many of them. Does not belong here: what must be true after each act
(judge), AWS itself (the rest of simulation). Not part of the wheel.
"""
