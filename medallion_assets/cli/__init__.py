"""The command `medallion`: one short file per command.

Belongs here: arguments, output and exit codes. Does not belong here: the work itself, which is in the other rooms.
Heavy imports are inside functions, so that `--help` is fast.
"""
