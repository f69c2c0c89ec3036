"""What students and instructors read: pages that stand alone, cleaned of what a student's code has put into them."""
