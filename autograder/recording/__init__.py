"""What is kept of a round: nbgrader's gradebook, graded notebooks, the event log, and what a killed round had run."""
