"""Figures of this library beside its peers and its physical limits, as ratios within one run."""
