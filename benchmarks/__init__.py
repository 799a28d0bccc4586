"""crmsync measured beside its peers: `python -m benchmarks`. README.md says how to read it."""
