"""Storage: MongoDB, S3 and Redis behind small interfaces."""
