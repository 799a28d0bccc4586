"""protovalidate's field rules, which the contract imports."""
