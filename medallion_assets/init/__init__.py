"""The project that `medallion init` writes: files that run as they are, and that the user then edits.

Belongs here: templates, and writing them to a folder. Does not belong here: the command itself (cli).
"""
