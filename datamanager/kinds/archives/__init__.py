"""What the kinds `zip` and `tar` share: members, their names, and unpacking within bounds. Nothing is ever written to disk."""
