"""From a folder to checked arrays."""
