"""Images in one large file: .npz archives and TFRecord shards."""
