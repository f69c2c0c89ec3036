"""The views of a profile: tables, trees, plots, comparisons."""
