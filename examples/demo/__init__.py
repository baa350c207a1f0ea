"""Three replicas, three processes, one machine: what they promise is shown, and checked."""
