"""Follows a forward pass and counts its arithmetic."""
