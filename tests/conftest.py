"""What the tests share."""

import os

# Before TensorFlow is imported anywhere: quiet, and without looking for a GPU, unless that is
# what is tested.
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
if not os.environ.get("P2P_GRAPH_TEST_GPU"):
    os.environ["CUDA_VISIBLE_DEVICES"] = ""
