"""Operation-based CRDTs: data that merges, proven convergent."""
