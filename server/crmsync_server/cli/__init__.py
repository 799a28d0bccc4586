"""The verbs of crmsync-server.

Each imports what it needs when it is called: a token is minted without loading a server.
"""
