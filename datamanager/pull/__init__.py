"""`datamanager pull`: cameras and files that are asked for their pictures, rather than sending them."""
