"""What stands on Ray: runs on a Ray cluster, and the Ray of a search, its own or the cluster's."""
