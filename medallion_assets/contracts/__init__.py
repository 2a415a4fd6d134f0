"""What a source table is, as data: the model of a contract, its types, and loading a domain.

Of other rooms it imports only the rule of capture for the names of tables.
"""
