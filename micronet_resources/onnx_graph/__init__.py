"""A challenge entry read as a graph of ONNX operators: admitted, folded, counted; nothing in it is ever executed."""
