"""Using a trained generator: translating folders of images, and exports."""
