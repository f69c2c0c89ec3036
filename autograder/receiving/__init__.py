"""What students and learning platforms hand over: unpacked, named and matched with the lab, and trusted in nothing."""
