"""Parts of the command line: what the commands share, the tasks, and generate."""
