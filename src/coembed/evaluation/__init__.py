"""How good samples of an ambiguous field are: the paper's metrics and proper scores."""
