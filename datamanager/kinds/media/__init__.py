"""What kinds `audio` and `video` share: containers of media, read by structure and never decoded."""
