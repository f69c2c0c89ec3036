"""How grids are found in the values of a tensor."""
