"""Programs that run; each is executed by a test."""
