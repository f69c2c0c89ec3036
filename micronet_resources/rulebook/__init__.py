"""The rule sets as data, and their arithmetic."""
