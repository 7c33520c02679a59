"""Stability of simulators: pure functions on tensors, batched over anchors."""
