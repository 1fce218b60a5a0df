"""From image files, archives, shards and manifests to the input graph."""
