"""pix2pix (Isola et al. 2017) as an explicit TensorFlow graph, exact to the TF1 reference."""

__version__ = "0.1.0"
