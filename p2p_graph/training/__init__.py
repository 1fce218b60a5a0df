"""The training step (batch -> losses -> updates), the loop around it, hooks and validation."""
