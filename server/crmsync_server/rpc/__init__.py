"""The gRPC door: thin servicers, and what every call passes on its way to one."""
