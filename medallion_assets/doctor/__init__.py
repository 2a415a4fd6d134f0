"""The preflight of an environment on AWS: would its deployment succeed, and does it still read its sources?

Belongs here: one file per noun that is checked, reading what was synthesised (assembly) and asking AWS about it. Does
not belong here: the settings of an environment (infra/settings.py turns them into the templates that are read here),
and making or changing anything: every request reads.
"""
