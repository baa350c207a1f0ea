"""Composable streams: a `Source` flows through stages into a `Sink`."""
