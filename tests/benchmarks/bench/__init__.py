"""The benchmarks: python tests/benchmarks --help."""
