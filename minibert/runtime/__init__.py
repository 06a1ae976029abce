"""How a function is run: arrays, threads, blocks, and the functions that a user swaps in."""
