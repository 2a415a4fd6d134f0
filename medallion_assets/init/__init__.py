"""A project of the user's own, written by `medallion init`: files that run as they are, and theirs from then on."""
