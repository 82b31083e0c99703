"""Does a condition tell the field by traces of how photos were stored? Two tests."""
