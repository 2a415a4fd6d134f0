"""Bronze as its readers see it: the rows of objects, what an object contains, and compacted copies of whole days.

Belongs here: reading objects into Arrow tables, the format of a compacted copy, and that a reader gets a row from
either place, once. Does not belong here: names, stores and writing of objects (capture), what a row means (silver),
when copies are written (maintenance).
"""
