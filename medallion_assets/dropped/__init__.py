"""Files that a person or another system drops: each is checked as a whole and goes the way of a change, or is rejected.

Belongs here: where dropped files are, reading and checking them, their order among the changes of the stream, and the
record of each. Does not belong here: merging (silver), when files are looked for (defs).
"""
