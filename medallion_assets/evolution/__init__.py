"""What a change of a contract means for its table, and what it costs.

Belongs here: the shape of a table as a contract, a commit or the lake has it, and comparing two of them. Does not
belong here: changing a table (lake, silver), making it again from Bronze (repair).
"""
