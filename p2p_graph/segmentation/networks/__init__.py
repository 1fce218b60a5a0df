"""Networks of our own that label the pixels of photos, and the backbone's published weights."""
