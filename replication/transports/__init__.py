"""Connections between replicas: in memory, and by WebSockets."""
