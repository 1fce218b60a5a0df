"""What the tests share."""

import os

# Before TensorFlow is imported anywhere: quiet, and without looking for a GPU.
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
os.environ["CUDA_VISIBLE_DEVICES"] = ""
