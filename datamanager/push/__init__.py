"""`datamanager push`: files, folders and recordings, brought to a server."""
