"""What reads labels off images: FCN-8s, saved models, functions, and the small FCN."""
