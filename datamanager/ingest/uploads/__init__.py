"""Uploads: bytes that go straight to S3, and become a record once they are looked at."""
