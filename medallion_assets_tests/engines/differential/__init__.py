"""The differential suite: what a mart may say, in DuckDB by our translation and in Trino, equal in value and type.

Belongs here: the corpus (generated; its size is a setting), both engines' answers and their comparison, and Trino's
recorded answers, which the fast tests compare with. Does not belong here: starting Trino (real_engines).
"""
