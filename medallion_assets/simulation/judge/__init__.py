"""The judge: what every published table must hold, worked out in plain Python without the pipeline's code.

Belongs here: the oracle, its own decoder and its own marts. Does not belong here: playing a history (harness). Not part
of the wheel.
"""
