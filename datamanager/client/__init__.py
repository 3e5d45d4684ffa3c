"""Client: the robot's side: push a session, and read it back."""
