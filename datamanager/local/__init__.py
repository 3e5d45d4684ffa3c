"""Local: MongoDB, S3 and Redis as child processes on this machine."""
