"""Remote calls: a caller anywhere, a robot's socket in one server process, JSON-RPC 2.0 between them."""
