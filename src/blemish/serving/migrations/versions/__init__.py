"""One file per revision of the tables, in the order of their numbers."""
