"""One file an architecture: its config, its table of names, its classes."""
