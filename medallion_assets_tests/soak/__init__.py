"""The whole stack under traffic while its processes are killed, and many writers on one table. Run by `make soak`."""
