"""The whole stack on one machine: the local AWS, traffic, processes. Nothing here runs in production."""
