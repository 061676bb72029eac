"""The infrastructure layer: makes the machines of a cluster, and brings the mesh onto them."""
