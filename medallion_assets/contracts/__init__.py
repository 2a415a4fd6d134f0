"""What a source table is, as data: the model of a contract, its types, and loading a domain. Imports no other room."""
