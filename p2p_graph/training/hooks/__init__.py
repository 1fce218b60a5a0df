"""What a training run does beside its steps: saving, stopping, checking losses, reports."""
