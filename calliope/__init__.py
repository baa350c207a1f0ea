"""Event streams: a durable journal with composable sources and sinks."""
