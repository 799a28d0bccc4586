"""The crmsync contract, generated from protos/."""
