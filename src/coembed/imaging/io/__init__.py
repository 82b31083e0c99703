"""Reading and writing photos."""
