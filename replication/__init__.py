"""Many machines agree: nodes, the gossip replicator and the command line."""
