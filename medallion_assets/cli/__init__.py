"""The command `medallion`: one file per command, thin. The work is in the rooms; heavy imports are inside functions."""
