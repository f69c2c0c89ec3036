"""Writing a lab: its source, what students get of it, the rules that it keeps, and the runs that prove its tests."""
