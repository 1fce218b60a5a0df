"""tools/translate_many.py: very many images, shard by shard, by workers that Ray runs."""
