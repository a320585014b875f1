"""The cluster's network as a graph: domains, bandwidths, latencies, all-to-all rates and crossing shares."""
